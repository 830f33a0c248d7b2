//! Settings under the names people know: `net.mptcp.*` of today's kernel, some of `net.ipv4.*`, and the names of the
//! v0.9x kernels as aliases. One table ([`SETTINGS`]) says what there is, what a value may be, and what it changes.

mod table;

pub use table::SETTINGS;

use crate::config::{ConnectionConfig, EndpointConfig};
use alloc::string::String;
use core::fmt;

/// What settings change.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Of the endpoint as a whole.
    pub endpoint: EndpointConfig,
    /// Of every connection.
    pub connection: ConnectionConfig,
    /// Say what happens: each event, for whoever prints.
    pub debug: bool,
}

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// On or off: `1`, `0`, and the usual words.
    Switch,
    /// A number in this range.
    Number(u64, u64),
    /// Seconds, up to this many.
    Seconds(u64),
    /// Three sizes in bytes, ascending: the least, the one in the beginning, the most.
    Sizes,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Says something and cannot be set.
    ReadOnly,
}

/// A value that was understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Of a switch (0 or 1), a number, seconds.
    Number(u64),
    /// A word, or sizes as they were written.
    Word(&'a str),
}

/// What a change reaches while a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It is read when a process starts, and cannot be changed later.
    Start,
    /// Connections to come; those there are have agreed on it, or are built upon it.
    Later,
    /// Every connection, as it is read when it is needed.
    Living,
}

impl Reach {
    /// A word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Later => "later connections",
            Self::Living => "every connection",
        }
    }
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its name, as today's kernel has it.
    pub name: &'static str,
    /// Names it had in the v0.9x kernels.
    pub aliases: &'static [&'static str],
    /// What its value may be.
    pub kind: Kind,
    /// What it is for, in one line.
    pub doc: &'static str,
    /// What a change reaches while a process runs.
    pub reach: Reach,
    get: fn(&Settings) -> String,
    /// `Err` says why the value cannot be had, for what [`Kind`] cannot say.
    set: fn(&mut Settings, Value<'_>) -> Result<(), &'static str>,
}

/// Why a setting was not made.
#[derive(Clone, Copy, Debug)]
pub enum SettingError<'a> {
    /// No such name.
    Unknown(&'a str),
    /// It cannot be set.
    ReadOnly(&'static Setting),
    /// It cannot have this value.
    Value(&'static Setting, &'a str, Option<&'static str>),
    /// It is not written `NAME=VALUE`.
    Form(&'a str),
    /// It cannot be changed while a process runs.
    AtStart(&'static Setting),
}

impl fmt::Display for SettingError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => write!(f, "there is no setting {name:?}"),
            Self::ReadOnly(setting) => write!(f, "{} can only be read", setting.name),
            Self::Value(setting, value, Some(why)) => {
                write!(f, "{} cannot be {value:?}: {why}", setting.name)
            }
            Self::Value(setting, value, None) => {
                write!(f, "{} cannot be {value:?}: it must be {}", setting.name, setting.kind)
            }
            Self::Form(text) => write!(f, "{text:?} is not written NAME=VALUE"),
            Self::AtStart(setting) => {
                write!(f, "{} counts only when a process starts", setting.name)
            }
        }
    }
}

impl core::error::Error for SettingError<'_> {}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Switch => f.write_str("1 or 0"),
            Self::Number(min, max) => write!(f, "a number from {min} to {max}"),
            Self::Sizes => f.write_str("three sizes in bytes: MIN DEFAULT MAX"),
            Self::Seconds(max) => write!(f, "seconds, 0 to {max}"),
            Self::Word(words) => {
                f.write_str("one of ")?;
                for (index, word) in words.iter().enumerate() {
                    let gap = if index > 0 { ", " } else { "" };
                    write!(f, "{gap}{word}")?;
                }
                Ok(())
            }
            Self::ReadOnly => f.write_str("left as it is"),
        }
    }
}

/// The name without its directory: `enabled` for `net.mptcp.enabled`, `net/mptcp/enabled` and itself.
fn short(name: &str) -> &str {
    let directories = ["net.mptcp.", "net/mptcp/", "net.ipv4.", "net/ipv4/", "mpuser."];
    directories.iter().find_map(|directory| name.strip_prefix(directory)).unwrap_or(name)
}

/// The setting of this name or alias, with or without its directory.
#[must_use]
pub fn find(name: &str) -> Option<&'static Setting> {
    let name = short(name);
    let named = |setting: &&Setting| short(setting.name) == name || setting.aliases.contains(&name);
    SETTINGS.iter().find(named)
}

impl Setting {
    /// Its name without the directory, `enabled` for `net.mptcp.enabled`.
    #[must_use]
    pub fn short_name(&self) -> &'static str {
        short(self.name)
    }

    /// Its value, as `sysctl` would print it.
    #[must_use]
    pub fn get(&self, settings: &Settings) -> String {
        (self.get)(settings)
    }

    /// Sets it.
    ///
    /// # Errors
    ///
    /// See [`SettingError`].
    pub fn set<'a>(
        &'static self,
        settings: &mut Settings,
        value: &'a str,
    ) -> Result<(), SettingError<'a>> {
        let text = value.trim();
        let bad = |why| SettingError::Value(self, value, why);
        let understood = match self.kind {
            Kind::ReadOnly => return Err(SettingError::ReadOnly(self)),
            Kind::Switch => match text {
                "1" | "on" | "true" | "yes" => Value::Number(1),
                "0" | "off" | "false" | "no" => Value::Number(0),
                _ => return Err(bad(None)),
            },
            Kind::Number(min, max) => {
                let number = text.parse().ok().filter(|number| (min..=max).contains(number));
                Value::Number(number.ok_or_else(|| bad(None))?)
            }
            Kind::Seconds(max) => {
                let digits = text.strip_suffix('s').unwrap_or(text);
                let number = digits.parse().ok().filter(|number| *number <= max);
                Value::Number(number.ok_or_else(|| bad(None))?)
            }
            Kind::Word(_) | Kind::Sizes => Value::Word(text),
        };
        (self.set)(settings, understood).map_err(|why| bad((!why.is_empty()).then_some(why)))
    }
}

impl Setting {
    /// Sets it in the settings of connections alone.
    pub(crate) fn set_connection<'a>(
        &'static self,
        config: &mut ConnectionConfig,
        value: &'a str,
    ) -> Result<(), SettingError<'a>> {
        let mut settings = Settings { connection: config.clone(), ..Settings::default() };
        self.set(&mut settings, value)?;
        *config = settings.connection;
        Ok(())
    }
}

impl Settings {
    /// Sets one setting by any of its names.
    ///
    /// # Errors
    ///
    /// See [`SettingError`].
    pub fn set<'a>(&mut self, name: &'a str, value: &'a str) -> Result<(), SettingError<'a>> {
        find(name).ok_or(SettingError::Unknown(name))?.set(self, value)
    }

    /// Does what `sysctl -w` does with `NAME=VALUE`.
    ///
    /// # Errors
    ///
    /// See [`SettingError`].
    pub fn assign<'a>(&mut self, assignment: &'a str) -> Result<(), SettingError<'a>> {
        let (name, value) = assignment.split_once('=').ok_or(SettingError::Form(assignment))?;
        self.set(name.trim(), value)
    }
}

#[cfg(test)]
mod tests;
