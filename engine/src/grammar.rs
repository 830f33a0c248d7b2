//! The words of `ip mptcp`: what people and scripts say to a path manager.
//!
//! The grammar is that of iproute2's `ip mptcp endpoint` and `ip mptcp limits`, its checks and the words of its errors
//! included. Command words may be shortened (`e a` is `endpoint add`), flags may not.

use crate::addr::{AddressId, IpAddr};
use crate::config::EndpointFlags;
use core::fmt;

/// One command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// `endpoint ...`: the addresses the path manager may use.
    Endpoint(EndpointCommand<'a>),
    /// `limits ...`: how many subflows there may be.
    Limits(LimitsCommand),
    /// `monitor`: events as they come.
    Monitor,
}

/// What is to be done with endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointCommand<'a> {
    /// `add ADDRESS [dev NAME] [id ID] [port NR] [FLAG...]`
    Add(NewEndpoint<'a>),
    /// `delete id ID [ADDRESS]`; the address is given with id 0 and with no other.
    Delete {
        /// Which one.
        id: AddressId,
        /// The address that has id 0.
        address: Option<IpAddr>,
    },
    /// `change [id ID] [ADDRESS] [port NR] CHANGE`
    Change {
        /// Which one.
        which: Selector,
        /// What becomes of its flags.
        change: FlagsChange,
    },
    /// `show [id ID]`
    Show(Option<AddressId>),
    /// `flush`: deletes all.
    Flush,
}

/// An endpoint to be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewEndpoint<'a> {
    /// Its address.
    pub address: IpAddr,
    /// The device subflows from it leave by.
    pub dev: Option<&'a str>,
    /// Its identifier, 1 to 255; without one the path manager chooses.
    pub id: Option<AddressId>,
    /// The port to announce (RFC 8684 3.4.1), with `signal` only.
    pub port: Option<u16>,
    /// What it is for.
    pub flags: EndpointFlags,
}

/// Names an endpoint that is there. At least one of `id` and `address` is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// By its identifier.
    pub id: Option<AddressId>,
    /// By its address.
    pub address: Option<IpAddr>,
    /// And by its port.
    pub port: Option<u16>,
}

/// New values of the flags that may change; `None` leaves a flag as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlagsChange {
    /// `backup` or `nobackup`.
    pub backup: Option<bool>,
    /// `fullmesh` or `nofullmesh`.
    pub fullmesh: Option<bool>,
}

impl FlagsChange {
    /// The flags after the change.
    #[must_use]
    pub fn apply(self, flags: EndpointFlags) -> EndpointFlags {
        EndpointFlags {
            backup: self.backup.unwrap_or(flags.backup),
            fullmesh: self.fullmesh.unwrap_or(flags.fullmesh),
            ..flags
        }
    }
}

/// What is to be done with the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitsCommand {
    /// `set [subflows NR] [add_addr_accepted NR]`; what is not named stays.
    Set {
        /// Most subflows beside the first.
        subflows: Option<usize>,
        /// Most announced addresses that are joined.
        add_addr_accepted: Option<usize>,
    },
    /// `show`
    Show,
}

/// The largest value of a limit, the kernel's.
pub const MAX_LIMIT: usize = 8;

/// Why a command was not understood, in iproute2's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrammarError<'a> {
    /// It ends where something is still to come.
    Incomplete,
    /// No such command.
    UnknownCommand(&'a str),
    /// Something is missing.
    Required(&'static str),
    /// Something cannot be as it is.
    Wrong(&'a str, &'static str),
}

impl fmt::Display for GrammarError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incomplete => f.write_str("command line is not complete"),
            Self::UnknownCommand(word) => write!(f, "command {word:?} is unknown"),
            Self::Required(what) => write!(f, "argument {what:?} is required"),
            Self::Wrong(word, why) => write!(f, "argument {word:?} is wrong: {why}"),
        }
    }
}

impl core::error::Error for GrammarError<'_> {}

type Result<'a, T> = core::result::Result<T, GrammarError<'a>>;

/// Understands `endpoint ...`, `limits ...` or `monitor` in one line.
///
/// # Errors
///
/// See [`GrammarError`].
pub fn parse_line(line: &str) -> Result<'_, Command<'_>> {
    parse(line.split_ascii_whitespace())
}

/// Understands a command given as words.
///
/// # Errors
///
/// See [`GrammarError`].
pub fn parse<'a>(words: impl Iterator<Item = &'a str>) -> Result<'a, Command<'a>> {
    let mut words = words;
    match words.next() {
        None => Err(GrammarError::Incomplete),
        Some(word) if abbreviates(word, "endpoint") => endpoint(words).map(Command::Endpoint),
        Some(word) if abbreviates(word, "limits") => limits(words).map(Command::Limits),
        Some(word) if abbreviates(word, "monitor") => Ok(Command::Monitor),
        Some(word) => Err(GrammarError::UnknownCommand(word)),
    }
}

/// Understands what stands after `endpoint`; nothing is `show`.
///
/// # Errors
///
/// See [`GrammarError`].
pub fn endpoint<'a>(words: impl Iterator<Item = &'a str>) -> Result<'a, EndpointCommand<'a>> {
    let mut words = words;
    let Some(command) = words.next() else { return Ok(EndpointCommand::Show(None)) };
    let known = ["add", "change", "delete", "show", "flush"];
    let Some(command) = known.into_iter().find(|known| abbreviates(command, known)) else {
        return Err(GrammarError::UnknownCommand(command));
    };
    let said = Said::gather(words)?;
    match command {
        "add" => said.add(),
        "change" => said.change(),
        "delete" => said.delete(),
        "show" => Ok(EndpointCommand::Show(said.id)),
        _ => Ok(EndpointCommand::Flush),
    }
}

/// Understands what stands after `limits`; nothing is `show`.
///
/// # Errors
///
/// See [`GrammarError`].
pub fn limits<'a>(words: impl Iterator<Item = &'a str>) -> Result<'a, LimitsCommand> {
    let mut words = words;
    let (mut subflows, mut add_addr_accepted) = (None, None);
    match words.next() {
        None => return Ok(LimitsCommand::Show),
        Some(word) if abbreviates(word, "show") => return Ok(LimitsCommand::Show),
        Some(word) if abbreviates(word, "set") => {}
        Some(word) => return Err(GrammarError::UnknownCommand(word)),
    }
    while let Some(word) = words.next() {
        let (value, why) = match word {
            _ if abbreviates(word, "subflows") => (&mut subflows, "invalid subflows"),
            _ if abbreviates(word, "add_addr_accepted") => {
                (&mut add_addr_accepted, "invalid add_addr_accepted")
            }
            _ => return Err(GrammarError::Wrong(word, "unknown limit")),
        };
        let number = words.next().ok_or(GrammarError::Incomplete)?;
        let parsed: usize = number.parse().map_err(|_| GrammarError::Wrong(number, why))?;
        if parsed > MAX_LIMIT {
            return Err(GrammarError::Wrong(number, "limit greater than maximum (8)"));
        }
        *value = Some(parsed);
    }
    Ok(LimitsCommand::Set { subflows, add_addr_accepted })
}

/// `word` is the beginning of `full`, as iproute2 lets commands be shortened.
fn abbreviates(word: &str, full: &str) -> bool {
    !word.is_empty() && full.starts_with(word)
}

/// What stands after `endpoint COMMAND`, in any order.
#[derive(Debug, Default)]
struct Said<'a> {
    address: Option<IpAddr>,
    dev: Option<&'a str>,
    id: Option<AddressId>,
    port: Option<u16>,
    flags: EndpointFlags,
    /// `nobackup` and `nofullmesh`.
    not: (Option<&'a str>, Option<&'a str>),
    /// The first flag that no `change` may name.
    fixed: Option<&'a str>,
}

impl<'a> Said<'a> {
    fn gather(words: impl Iterator<Item = &'a str>) -> Result<'a, Self> {
        let (mut words, mut said) = (words, Self::default());
        while let Some(word) = words.next() {
            let mut argument = || words.next().ok_or(GrammarError::Incomplete);
            match word {
                "signal" => said.flags.signal = true,
                "subflow" => said.flags.subflow = true,
                "backup" => said.flags.backup = true,
                "fullmesh" => said.flags.fullmesh = true,
                "nobackup" => said.not.0 = Some(word),
                "nofullmesh" => said.not.1 = Some(word),
                "id" => {
                    let id = argument()?;
                    let wrong = |_| GrammarError::Wrong(id, "invalid ID");
                    said.id = Some(AddressId(id.parse().map_err(wrong)?));
                }
                "dev" => said.dev = Some(argument()?),
                "port" => {
                    let port = argument()?;
                    let wrong = |_| GrammarError::Wrong(port, "expected port");
                    // port 0 announces none, as the kernel takes it
                    said.port = Some(port.parse().map_err(wrong)?).filter(|port| *port != 0);
                }
                _ => {
                    let wrong = |_| GrammarError::Wrong(word, "any valid address is expected");
                    said.address = Some(word.parse::<IpAddr>().map_err(wrong)?.to_canonical());
                }
            }
            if matches!(word, "signal" | "subflow") {
                said.fixed = said.fixed.or(Some(word));
            }
        }
        Ok(said)
    }

    fn add(self) -> Result<'a, EndpointCommand<'a>> {
        let address = self.address.ok_or(GrammarError::Required("ADDRESS"))?;
        if let Some(word) = self.not.0.or(self.not.1) {
            return Err(GrammarError::Wrong(word, "it is for change only"));
        }
        if self.id == Some(AddressId(0)) {
            return Err(GrammarError::Wrong("ID", "0 is the address of the first subflow"));
        }
        if self.flags.signal && self.flags.fullmesh {
            let why = "flags mustn't have both signal and fullmesh";
            return Err(GrammarError::Wrong("fullmesh", why));
        }
        if self.port.is_some() && !self.flags.signal {
            return Err(GrammarError::Wrong("port", "flags must have signal when using port"));
        }
        let Self { dev, id, port, flags, .. } = self;
        Ok(EndpointCommand::Add(NewEndpoint { address, dev, id, port, flags }))
    }

    fn delete(self) -> Result<'a, EndpointCommand<'a>> {
        let id = self.id.ok_or(GrammarError::Required("ID"))?;
        match (id, self.address) {
            (AddressId(0), None) => {
                Err(GrammarError::Wrong("ID", "address is needed for deleting id 0 address"))
            }
            (AddressId(1..), Some(_)) => {
                Err(GrammarError::Wrong("ADDRESS", "invalid for non-zero id address"))
            }
            (id, address) => Ok(EndpointCommand::Delete { id, address }),
        }
    }

    fn change(self) -> Result<'a, EndpointCommand<'a>> {
        if self.id.is_none() && self.address.is_none() {
            return Err(GrammarError::Required("ID"));
        }
        if let Some(word) = self.fixed {
            return Err(GrammarError::Wrong(word, "invalid flags, backup and fullmesh only"));
        }
        let switch = |on: bool, off: Option<&'a str>| match (on, off) {
            (true, Some(word)) => Err(GrammarError::Wrong(word, "its opposite was given, too")),
            (true, None) => Ok(Some(true)),
            (false, off) => Ok(off.map(|_| false)),
        };
        let change = FlagsChange {
            backup: switch(self.flags.backup, self.not.0)?,
            fullmesh: switch(self.flags.fullmesh, self.not.1)?,
        };
        if change == FlagsChange::default() {
            return Err(GrammarError::Required("CHANGE-OPT"));
        }
        let which = Selector { id: self.id, address: self.address, port: self.port };
        Ok(EndpointCommand::Change { which, change })
    }
}

/// An endpoint as `ip mptcp endpoint show` prints it, without the space at the end.
#[derive(Clone, Copy, Debug)]
pub struct ShownEndpoint<'a> {
    /// Its address.
    pub address: IpAddr,
    /// The port it announces.
    pub port: Option<u16>,
    /// Its identifier.
    pub id: AddressId,
    /// What it is for.
    pub flags: EndpointFlags,
    /// The device subflows from it leave by.
    pub dev: Option<&'a str>,
}

impl fmt::Display for ShownEndpoint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        if let Some(port) = self.port {
            write!(f, " port {port}")?;
        }
        write!(f, " id {}", self.id.0)?;
        for word in self.flags.words() {
            write!(f, " {word}")?;
        }
        self.dev.map_or(Ok(()), |dev| write!(f, " dev {dev}"))
    }
}

#[cfg(test)]
mod tests;
