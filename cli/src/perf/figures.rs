//! Figures as iperf3 writes them.

use crate::units::float;
use std::time::Duration;

/// Octets: `1.12 GBytes`; the units are powers of 1024.
pub(super) fn bytes(octets: u64) -> String {
    scaled(float(octets), 1024.0, &["Bytes", "KBytes", "MBytes", "GBytes", "TBytes"])
}

/// Octets in a time: `94.1 Mbits/sec`; the units are powers of 1000.
pub(super) fn rate(octets: u64, time: Duration) -> String {
    let units = ["bits/sec", "Kbits/sec", "Mbits/sec", "Gbits/sec", "Tbits/sec"];
    scaled(bits_per_second(octets, time), 1000.0, &units)
}

/// Bits per second; 0 in no time.
pub(super) fn bits_per_second(octets: u64, time: Duration) -> f64 {
    let seconds = time.as_secs_f64();
    if seconds > 0.0 { float(octets) * 8.0 / seconds } else { 0.0 }
}

/// Three digits, in four places.
fn scaled(mut value: f64, step: f64, units: &[&str]) -> String {
    let mut units = units.iter();
    let mut unit = units.next().copied().unwrap_or_default();
    // 999.5 would be printed with four digits
    while value >= step.min(999.5) {
        let Some(next) = units.next() else { break };
        value /= step;
        unit = next;
    }
    match value {
        small if small < 9.995 => format!("{small:4.2} {unit}"),
        middle if middle < 99.95 => format!("{middle:4.1} {unit}"),
        large => format!("{large:4.0} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_iperf3_does() {
        let second = Duration::from_secs(1);
        for (octets, text) in [
            (0, "0.00 Bytes"),
            (999, " 999 Bytes"),
            (131_072, " 128 KBytes"),
            (1_048_576, "1.00 MBytes"),
            (117_440_512, " 112 MBytes"),
            (1_202_590_843, "1.12 GBytes"),
        ] {
            assert_eq!(bytes(octets), text);
        }
        for (octets, text) in [
            (0, "0.00 bits/sec"),
            (125, "1.00 Kbits/sec"),
            (11_762_500, "94.1 Mbits/sec"),
            (124_990_000, "1.00 Gbits/sec"),
            (1_200_000_000, "9.60 Gbits/sec"),
        ] {
            assert_eq!(rate(octets, second), text);
        }
        assert_eq!(rate(5, Duration::ZERO), "0.00 bits/sec");
    }
}
