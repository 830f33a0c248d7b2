//! Values as people write them: `20mbit`, `10ms`, `1%`, `64k`, and back.

use mpuser_engine::time::Duration;
use std::fmt::Write as _;

/// Bytes as hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // writing to a String cannot fail
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A number with a unit behind it.
fn number(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let value = digits.parse::<f64>().ok()?;
    Some((value, unit))
}

/// Bits per second: `20mbit`, `1.5gbit`, `64kbit`, `9600bit`; `1000pps` are packets of 1500 bytes.
pub fn rate(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no rate: write for example 20mbit, 64kbit or 1000pps");
    let lower = text.to_ascii_lowercase();
    let (value, unit) = number(&lower).ok_or_else(wrong)?;
    let scale = match unit {
        "bit" | "bps" => 1.0,
        "k" | "kbit" | "kbps" => 1e3,
        "m" | "mbit" | "mbps" => 1e6,
        "g" | "gbit" | "gbps" => 1e9,
        "pps" => 12e3,
        _ => return Err(wrong()),
    };
    let bits = value * scale;
    if !(1.0..=1e13).contains(&bits) {
        return Err(wrong());
    }
    Ok(bits as u64)
}

/// A time: `10ms`, `1.5s`, `200us`, `0`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time: write for example 10ms, 1.5s or 200us");
    let (value, unit) = number(text).ok_or_else(wrong)?;
    let scale = match unit {
        "" if value == 0.0 => 0.0,
        "us" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" | "min" => 6e10,
        _ => return Err(wrong()),
    };
    let nanos = value * scale;
    if nanos > 1e17 {
        return Err(wrong());
    }
    Ok(Duration::from_nanos(nanos.round() as u64))
}

/// A probability: `1%`, `0.5%`, `0.01`.
pub fn probability(text: &str) -> Result<f64, String> {
    let wrong = || format!("{text:?} is no probability: write for example 1% or 0.01");
    let value = match text.strip_suffix('%') {
        Some(percent) => percent.parse::<f64>().map_err(|_| wrong())? / 100.0,
        None => text.parse::<f64>().map_err(|_| wrong())?,
    };
    if (0.0..=1.0).contains(&value) { Ok(value) } else { Err(wrong()) }
}

/// A number of bytes: `1500`, `64k`, `1M`; k is 1024.
pub fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no size: write for example 1500, 64k or 1M");
    let lower = text.to_ascii_lowercase();
    let (value, unit) = number(&lower).ok_or_else(wrong)?;
    let scale = match unit {
        "" | "b" => 1.0,
        "k" | "kb" | "kib" => 1024.0,
        "m" | "mb" | "mib" => 1_048_576.0,
        _ => return Err(wrong()),
    };
    let bytes = value * scale;
    if bytes > 1e12 { Err(wrong()) } else { Ok(bytes as u64) }
}

/// A whole number within `range`.
pub fn whole(text: &str, range: std::ops::RangeInclusive<u32>) -> Result<u32, String> {
    let (low, high) = (range.start(), range.end());
    let value = text.parse::<u32>().ok().filter(|value| range.contains(value));
    value.ok_or_else(|| format!("{text:?} is no whole number from {low} to {high}"))
}

/// A number without zeros at its end.
fn short(value: f64) -> String {
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The text [`rate`] reads.
#[must_use]
pub fn show_rate(bits: u64) -> String {
    match bits {
        1_000_000_000.. => format!("{}gbit", short(bits as f64 / 1e9)),
        1_000_000.. => format!("{}mbit", short(bits as f64 / 1e6)),
        1_000.. => format!("{}kbit", short(bits as f64 / 1e3)),
        _ => format!("{bits}bit"),
    }
}

/// The text [`duration`] reads.
#[must_use]
pub fn show_duration(time: Duration) -> String {
    match time.as_nanos() {
        1_000_000_000.. => format!("{}s", short(time.as_secs_f64())),
        1_000_000.. => format!("{}ms", short(time.as_secs_f64() * 1e3)),
        0 => "0".to_owned(),
        _ => format!("{}us", short(time.as_secs_f64() * 1e6)),
    }
}

/// The text [`probability`] reads.
#[must_use]
pub fn show_probability(p: f64) -> String {
    format!("{}%", short(p * 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_and_shown() {
        assert_eq!(rate("20mbit"), Ok(20_000_000));
        assert_eq!(rate("1.5Gbit"), Ok(1_500_000_000));
        assert_eq!(duration("10ms"), Ok(Duration::from_millis(10)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert_eq!(probability("1%"), Ok(0.01));
        assert_eq!(size("64k"), Ok(65_536));
        for text in ["", "fast", "10", "-1mbit", "0mbit", "1e99mbit", "NaNmbit", "infmbit"] {
            assert!(rate(text).is_err(), "{text}");
        }
        for text in ["", "10", "10m s", "1e9s", "99999999999999s"] {
            assert!(duration(text).is_err(), "{text}");
        }
        for text in ["", "101%", "-1%", "nan", "2"] {
            assert!(probability(text).is_err(), "{text}");
        }
        for bits in [1, 9_600, 20_000_000, 1_500_000_000] {
            assert_eq!(rate(&show_rate(bits)), Ok(bits));
        }
        for micros in [0, 1, 200, 10_000, 1_500_000, 3_600_000_000] {
            let time = Duration::from_micros(micros);
            assert_eq!(duration(&show_duration(time)), Ok(time));
        }
        assert_eq!(show_probability(0.005), "0.5%");
    }
}
