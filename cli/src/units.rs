//! Sizes, rates, durations and shares: how they are read and how they are printed.

use std::time::Duration;

/// Reads a size: `512`, `64K`, `1.5M`, `2GiB`. The units are powers of 1024.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text)?;
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" | "kib" => 1024.0,
        "m" | "mb" | "mib" => 1024.0 * 1024.0,
        "g" | "gb" | "gib" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err(format!("`{unit}` is no unit of size; use K, M or G")),
    };
    whole(number * factor)
}

/// Reads a rate in bits per second: `20mbit`, `1gbit`, `2.5MB/s`. The units are powers of 1000, as in `tc`.
pub(crate) fn parse_rate(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text)?;
    let factor = match unit {
        "bit" | "bit/s" | "bps" => 1.0,
        "kbit" | "kbit/s" | "Kbit/s" => 1e3,
        "mbit" | "mbit/s" | "Mbit/s" | "Mbit" => 1e6,
        "gbit" | "gbit/s" | "Gbit/s" | "Gbit" => 1e9,
        "kB/s" | "KB/s" => 8e3,
        "MB/s" => 8e6,
        "GB/s" => 8e9,
        _ => return Err(format!("`{unit}` is no unit of rate; use kbit, mbit, gbit or MB/s")),
    };
    match whole(number * factor)? {
        0 => Err("a rate of 0 moves nothing".to_owned()),
        rate => Ok(rate),
    }
}

/// Reads a duration: `250ms`, `10s`, `2m`, or seconds without a unit. It must be longer than zero.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text)?;
    let seconds = match unit {
        "us" => number / 1e6,
        "ms" => number / 1e3,
        "" | "s" => number,
        "m" | "min" => number * 60.0,
        "h" => number * 3600.0,
        _ => return Err(format!("`{unit}` is no unit of time; use ms, s, m or h")),
    };
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        Ok(_) => Err("it must be longer than zero".to_owned()),
        Err(_) => Err("it is too long".to_owned()),
    }
}

fn split(text: &str) -> Result<(f64, &str), String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    match number.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok((value, unit.trim())),
        _ => Err("it must start with a number".to_owned()),
    }
}

fn whole(value: f64) -> Result<u64, String> {
    // 2^53: beyond it a float no longer holds every integer
    if value <= 9_007_199_254_740_992.0 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked; never negative"
        )]
        Ok(value.round() as u64)
    } else {
        Err("it is too large".to_owned())
    }
}

/// `0 B`, `1.5 KiB`, `64.0 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = float(bytes);
    let mut unit = "B";
    for next in UNITS {
        // 1023.95 would print as 1024.0
        if value < 1023.95 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

/// Bytes over a time as `95.3 Mbit/s`.
pub(crate) fn rate(bytes: u64, time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds <= 0.0 {
        return "-".to_owned();
    }
    bit_rate(float(bytes) * 8.0 / seconds)
}

/// Bits per second as `95.3 Mbit/s`.
pub(crate) fn bit_rate(bits: f64) -> String {
    match bits {
        b if b < 999.5 => format!("{b:.0} bit/s"),
        b if b < 999_950.0 => format!("{:.1} kbit/s", b / 1e3),
        b if b < 999_950_000.0 => format!("{:.1} Mbit/s", b / 1e6),
        b => format!("{:.2} Gbit/s", b / 1e9),
    }
}

/// `42 us`, `1.3 ms`, `2.31 s`, `3 min 5 s`.
pub(crate) fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        s if s < 0.000_999_5 => format!("{:.0} us", s * 1e6),
        s if s < 0.999_5 => format!("{:.1} ms", s * 1e3),
        s if s < 99.995 => format!("{s:.2} s"),
        _ => format!("{} min {} s", time.as_secs() / 60, time.as_secs() % 60),
    }
}

/// So many seconds as [`time`] writes them; `-` where there is no such time.
pub(crate) fn seconds(value: f64) -> String {
    Duration::try_from_secs_f64(value).map_or_else(|_| "-".to_owned(), time)
}

/// `part` of `whole`, between 0 and 1; 0 of nothing is 0.
pub(crate) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { float(part) / float(whole) }
}

/// A share as `33.1 %`.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A share with four digits, for JSON.
pub(crate) fn rounded(share: f64) -> f64 {
    (share * 10_000.0).round() / 10_000.0
}

/// Bytes as a float; above 2^53 the last digits go, which no print shows.
#[expect(clippy::cast_precision_loss, reason = "only for printing")]
pub(crate) fn float(bytes: u64) -> f64 {
    bytes as f64
}

/// A bar of `width` cells, `filled` between 0 and 1.
pub(crate) fn bar(filled: f64, width: usize) -> String {
    let cells = (0..width).map(|cell| {
        let here = float(u64::try_from(cell).unwrap_or(0)) + 0.5;
        if filled.clamp(0.0, 1.0) * float(u64::try_from(width).unwrap_or(0)) > here {
            '#'
        } else {
            '.'
        }
    });
    cells.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("64K", 65_536),
            ("1.5M", 1_572_864),
            ("2GiB", 2 << 30),
            ("1 kb", 1024),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "M", "-1", "1X", "1e400G", "99999999999G", "..", "inf", "NaN"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates() {
        for (text, bits) in [
            ("100mbit", 100_000_000),
            ("2.5MB/s", 20_000_000),
            ("1gbit", 1_000_000_000),
            ("9bit", 9),
        ] {
            assert_eq!(parse_rate(text), Ok(bits), "{text}");
        }
        for text in ["100", "0mbit", "fast", "1mbyte"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("10"), Ok(Duration::from_secs(10)));
        assert_eq!(parse_duration("1.5m"), Ok(Duration::from_secs(90)));
        for text in ["0", "0s", "", "s", "1d", "-1s", "99999999999999999999999h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_print_without_jumps() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_048_525, "1.0 MiB"),
            (64 << 20, "64.0 MiB"),
            (u64::MAX, "16384.0 PiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn rates_print_without_jumps() {
        assert_eq!(rate(12_500_000, Duration::from_secs(1)), "100.0 Mbit/s");
        assert_eq!(rate(1, Duration::ZERO), "-");
        assert_eq!(bit_rate(0.0), "0 bit/s");
        assert_eq!(bit_rate(999_949.0), "999.9 kbit/s");
        assert_eq!(bit_rate(999_960.0), "1.0 Mbit/s");
        assert_eq!(bit_rate(2.5e9), "2.50 Gbit/s");
    }

    #[test]
    fn times_print_with_the_unit_that_fits() {
        for (micros, text) in [
            (0, "0 us"),
            (999, "999 us"),
            (1_000, "1.0 ms"),
            (999_400, "999.4 ms"),
            (999_600, "1.00 s"),
            (2_310_000, "2.31 s"),
            (185_000_000, "3 min 5 s"),
        ] {
            assert_eq!(time(Duration::from_micros(micros)), text);
        }
    }

    #[test]
    fn shares_and_bars() {
        assert_eq!(percent(share(1, 3)), "33.3 %");
        assert_eq!(percent(share(5, 0)), "0.0 %");
        assert_eq!(bar(0.0, 4), "....");
        assert_eq!(bar(0.5, 4), "##..");
        assert_eq!(bar(7.0, 4), "####");
        assert!((rounded(1.0 / 3.0) - 0.3333).abs() < 1e-12);
    }
}
