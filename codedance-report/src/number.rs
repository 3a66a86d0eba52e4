//! Numbers as people write them: with a unit, and with no more digits than they bear.

use std::fmt;
use std::time::Duration;

use codedance_core::decision::Unit;

/// A value of a metric in its unit, which never stands on a line of its own.
pub(crate) struct Amount(pub(crate) f64, pub(crate) Unit);

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0;
        match self.1 {
            Unit::Share => write!(f, "{}\u{a0}%", Digits(value * 100.0)),
            Unit::Seconds if value == 0.0 => f.write_str("0\u{a0}ms"),
            Unit::Seconds if value.abs() < 0.001 => write!(f, "{}\u{a0}µs", Digits(value * 1e6)),
            Unit::Seconds if value.abs() < 1.0 => write!(f, "{}\u{a0}ms", Digits(value * 1e3)),
            Unit::Seconds => write!(f, "{}\u{a0}s", Digits(value)),
            // A unit that a later core may add is shown as the number that it is.
            _ => {
                let size = value.abs();
                let (part, prefix) = match size {
                    _ if !(1e4..1e15).contains(&size) => (value, ""),
                    _ if size < 1e6 => (value / 1e3, "\u{a0}k"),
                    _ if size < 1e9 => (value / 1e6, "\u{a0}M"),
                    _ if size < 1e12 => (value / 1e9, "\u{a0}G"),
                    _ => (value / 1e12, "\u{a0}T"),
                };
                write!(f, "{}{prefix}", Digits(part))
            }
        }
    }
}

/// Three significant digits, without zeros at the end.
struct Digits(f64);

impl fmt::Display for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = if self.0.is_finite() { self.0 } else { 0.0 };
        let size = value.abs();
        if value == 0.0 {
            return f.write_str("0");
        }
        if !(1e-4..1e15).contains(&size) {
            return write!(f, "{value:.2e}");
        }
        let whole_digits = size.log10().floor() as i32 + 1;
        let decimals = usize::try_from(3 - whole_digits).unwrap_or(0);
        let text = format!("{value:.decimals$}");
        f.write_str(match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.'),
            false => &text,
        })
    }
}

/// A count with its thousands set apart.
pub(crate) struct Count(pub(crate) u64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

/// So many of a thing, in the singular or with an `s`.
pub(crate) struct Many(pub(crate) u64, pub(crate) &'static str);

impl fmt::Display for Many {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ending = if self.0 == 1 { "" } else { "s" };
        write!(f, "{} {}{ending}", Count(self.0), self.1)
    }
}

/// Time since the beginning: `01:05`, `2:03:00`, `1d 02:03:00`.
pub(crate) struct Clock(pub(crate) Duration);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
        let (minutes, seconds) = (seconds / 60 % 60, seconds % 60);
        match (days, hours) {
            (0, 0) => write!(f, "{minutes:02}:{seconds:02}"),
            (0, _) => write!(f, "{hours}:{minutes:02}:{seconds:02}"),
            _ => write!(f, "{days}d {hours:02}:{minutes:02}:{seconds:02}"),
        }
    }
}

/// A length of time with the two units that matter: `450 ms`, `42.5 s`, `3 min 20 s`, `2 h 5 min`.
pub(crate) struct Length(pub(crate) Duration);

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let pair = |f: &mut fmt::Formatter<'_>, whole, unit, part, of| match part {
            0 => write!(f, "{whole} {unit}"),
            part => write!(f, "{whole} {unit} {part} {of}"),
        };
        let seconds = millis / 1_000;
        match millis {
            0..1_000 => write!(f, "{millis} ms"),
            1_000..60_000 => write!(f, "{} s", Digits(millis as f64 / 1e3)),
            60_000..3_600_000 => pair(f, seconds / 60, "min", seconds % 60, "s"),
            3_600_000..86_400_000 => pair(f, seconds / 3_600, "h", seconds / 60 % 60, "min"),
            _ => pair(f, seconds / 86_400, "d", seconds / 3_600 % 24, "h"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_bear_their_unit_and_three_digits() {
        for (value, unit, written) in [
            (0.0, Unit::Share, "0 %"),
            (0.05, Unit::Share, "5 %"),
            (0.042_37, Unit::Share, "4.24 %"),
            (1.0, Unit::Share, "100 %"),
            (0.0, Unit::Seconds, "0 ms"),
            (0.000_25, Unit::Seconds, "250 µs"),
            (0.012_34, Unit::Seconds, "12.3 ms"),
            (1.5, Unit::Seconds, "1.5 s"),
            (f64::NAN, Unit::Plain, "0"),
            (1234.0, Unit::Plain, "1234"),
            (12_340.0, Unit::Plain, "12.3 k"),
            (-5e9, Unit::Plain, "-5 G"),
            (f64::MAX, Unit::Plain, "1.80e308"),
        ] {
            let amount = Amount(value, unit).to_string();
            assert_eq!(amount.replace('\u{a0}', " "), written, "{value}");
        }
    }

    #[test]
    fn times_read_as_clocks_and_lengths_as_words() {
        let clock = |seconds| Clock(Duration::from_secs(seconds)).to_string();
        assert_eq!(clock(65), "01:05");
        assert_eq!(clock(7_380), "2:03:00");
        assert_eq!(clock(93_780), "1d 02:03:00");
        let length = |millis| Length(Duration::from_millis(millis)).to_string();
        assert_eq!(length(450), "450 ms");
        assert_eq!(length(42_500), "42.5 s");
        assert_eq!(length(200_000), "3 min 20 s");
        assert_eq!(length(7_500_000), "2 h 5 min");
        assert_eq!(Count(1_234_567).to_string(), "1,234,567");
        assert_eq!(Many(1, "look").to_string(), "1 look");
    }
}
