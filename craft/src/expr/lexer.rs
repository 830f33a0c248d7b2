//! Tokens of expressions and scripts.

use super::error::ParseError;
use logos::Logos;
use std::ops::Range;

/// The longest text that is looked at, octets.
pub const SOURCE_MAX: usize = 1 << 18;

/// A piece of text.
#[derive(Logos, Clone, Copy, Debug, PartialEq, Eq)]
#[logos(skip r"[ \t\r]+")]
#[logos(skip(r"#[^\n]*", allow_greedy = true))]
pub enum Token<'s> {
    /// `/`
    #[token("/")]
    Slash,
    /// `(`
    #[token("(")]
    Open,
    /// `)`
    #[token(")")]
    Close,
    /// `[`
    #[token("[")]
    OpenList,
    /// `]`
    #[token("]")]
    CloseList,
    /// `,`
    #[token(",")]
    Comma,
    /// `=`
    #[token("=")]
    Equals,
    /// `*`
    #[token("*")]
    Star,
    /// `+`
    #[token("+")]
    Plus,
    /// `-`
    #[token("-")]
    Minus,
    /// `.`
    #[token(".")]
    Dot,
    /// `:`
    #[token(":")]
    Colon,
    /// `%`, in the words of a link
    #[token("%")]
    Percent,
    /// The end of a line.
    #[token("\n")]
    Newline,
    /// A name or a word.
    #[regex(r"[A-Za-z_][A-Za-z0-9_]*")]
    Name(&'s str),
    /// `$name`
    #[regex(r"\$[A-Za-z_][A-Za-z0-9_]*", |lex| lex.slice().get(1..).unwrap_or_default())]
    Variable(&'s str),
    /// Decimal digits.
    #[regex(r"[0-9]+")]
    Number(&'s str),
    /// Hexadecimal digits, without `0x`.
    #[regex(r"0[xX][0-9A-Fa-f]+", |lex| lex.slice().get(2..).unwrap_or_default())]
    Hex(&'s str),
    /// What stands between quotes, escapes and all.
    #[regex(r#""([^"\\\n]|\\[^\n])*""#, inner)]
    #[regex(r"'([^'\\\n]|\\[^\n])*'", inner)]
    Text(&'s str),
}

fn inner<'s>(lex: &logos::Lexer<'s, Token<'s>>) -> &'s str {
    let all = lex.slice();
    all.get(1..all.len() - 1).unwrap_or_default()
}

/// A place among the tokens of a text.
#[derive(Clone, Debug)]
pub struct Cursor<'s> {
    source: &'s str,
    tokens: Vec<(Token<'s>, Range<usize>)>,
    at: usize,
}

impl<'s> Cursor<'s> {
    /// The tokens of `source`.
    ///
    /// # Errors
    /// It is too long, or holds something that is no token.
    pub fn new(source: &'s str) -> Result<Self, ParseError> {
        if source.len() > SOURCE_MAX {
            let what = format!("the text has {} octets", source.len());
            let help = format!("{SOURCE_MAX} are the most; say long payloads as \"x\" * 1000");
            return Err(ParseError::new(SOURCE_MAX..SOURCE_MAX + 1, what, help));
        }
        let mut tokens = Vec::new();
        for (token, span) in Token::lexer(source).spanned() {
            let Ok(token) = token else { return Err(no_token(source, span)) };
            tokens.push((token, span));
        }
        Ok(Self { source, tokens, at: 0 })
    }

    /// The text.
    #[must_use]
    pub const fn source(&self) -> &'s str {
        self.source
    }

    /// The token at hand.
    #[must_use]
    pub fn peek(&self) -> Option<Token<'s>> {
        self.tokens.get(self.at).map(|(token, _)| *token)
    }

    /// The one behind it.
    #[must_use]
    pub fn peek_second(&self) -> Option<Token<'s>> {
        self.tokens.get(self.at + 1).map(|(token, _)| *token)
    }

    /// Where the token at hand stands; at the end, behind the last one.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.tokens.get(self.at).map_or_else(
            || {
                let end = self.tokens.last().map_or(0, |(_, span)| span.end);
                end..end
            },
            |(_, span)| span.clone(),
        )
    }

    /// Where the token before the one at hand ends.
    pub(crate) fn previous_end(&self) -> usize {
        let before = self.at.checked_sub(1).and_then(|at| self.tokens.get(at));
        before.map_or(0, |(_, span)| span.end)
    }

    /// Takes the token at hand.
    pub fn take(&mut self) -> Option<Token<'s>> {
        let token = self.peek()?;
        self.at += 1;
        Some(token)
    }

    /// Takes the token at hand if it is this one.
    pub fn skip(&mut self, token: Token<'_>) -> bool {
        let found = self.peek() == Some(token);
        self.at += usize::from(found);
        found
    }

    /// Takes the name at hand if it is this one.
    pub fn skip_word(&mut self, word: &str) -> bool {
        self.skip(Token::Name(word))
    }

    /// Goes over empty lines.
    pub fn skip_lines(&mut self) {
        while self.skip(Token::Newline) {}
    }

    /// The text up to the end of the line, which is taken.
    pub fn rest_of_line(&mut self) -> (&'s str, Range<usize>) {
        let start = self.span().start;
        let mut end = start;
        while !matches!(self.peek(), None | Some(Token::Newline)) {
            end = self.span().end;
            self.at += 1;
        }
        (self.source.get(start..end).unwrap_or_default(), start..end)
    }

    /// An error about the token at hand.
    #[must_use]
    pub fn unexpected(&self, wanted: &str, help: &str) -> ParseError {
        let what = match self.peek() {
            None => format!("the text ends where {wanted} is expected"),
            Some(Token::Newline) => format!("the line ends where {wanted} is expected"),
            Some(_) => {
                let found = self.source.get(self.span()).unwrap_or_default();
                let found = crate::value::shorten(found, 40);
                format!("{wanted} is expected where {found} stands")
            }
        };
        ParseError::new(self.span(), what, help)
    }
}

fn no_token(source: &str, span: Range<usize>) -> ParseError {
    let rest = source.get(span.start..).unwrap_or_default();
    if rest.starts_with(['"', '\'']) {
        let what = "the quote is not closed on this line";
        return ParseError::new(span, what, "close it; inside quotes write \\\" for a quote");
    }
    if rest.starts_with('$') {
        return ParseError::new(span, "a variable has no name", "write $name");
    }
    let found = rest.chars().next().unwrap_or_default();
    let what = format!("{found:?} means nothing here");
    let end = span.start + found.len_utf8();
    let help = "layers are divided by /, fields are name=value, text stands in quotes";
    ParseError::new(span.start..end, what, help)
}
