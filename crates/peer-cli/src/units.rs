//! Numbers as people write and read them: sizes, rates, times.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, de};

/// A number of bytes, written as `1500000`, `1.5MB` or `2GiB`; as a limit, bytes per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) u64);

/// A text that is not a number of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BytesParseError {
    text: String,
}

/// Suffixes, longest first, with the bytes that one of them is.
const SUFFIXES: [(&str, u64); 14] = [
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("k", 1_000),
    ("m", 1_000_000),
    ("g", 1_000_000_000),
    ("t", 1_000_000_000_000),
    ("b", 1),
    ("", 1),
];

impl FromStr for Bytes {
    type Err = BytesParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let lower = text.trim().to_ascii_lowercase();
        let parsed = SUFFIXES
            .iter()
            .find_map(|(suffix, factor)| Some((lower.strip_suffix(suffix)?.trim_end(), *factor)))
            .and_then(|(number, factor)| scaled(number, factor));
        parsed.map(Self).ok_or_else(|| BytesParseError {
            text: text.to_owned(),
        })
    }
}

/// `number`, which may have decimals, times `factor`; exact, and `None` when it is not a number, is not
/// a whole number of bytes after scaling down to one byte, or does not fit.
fn scaled(number: &str, factor: u64) -> Option<u64> {
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(decimals) || decimals.len() > 9 {
        return None;
    }
    let mut value = whole.parse::<u64>().ok()?.checked_mul(factor)?;
    if !decimals.is_empty() {
        let unit = 10_u128.pow(u32::try_from(decimals.len()).ok()?);
        let part = decimals.parse::<u128>().ok()? * u128::from(factor) / unit;
        value = value.checked_add(u64::try_from(part).ok()?)?;
    }
    Some(value)
}

impl fmt::Display for BytesParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a number of bytes: write 1500000, 1.5MB or 2GiB",
            self.text
        )
    }
}

impl std::error::Error for BytesParseError {}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(bytes) => Ok(Self(bytes)),
            Written::Text(text) => text.parse().map_err(de::Error::custom),
        }
    }
}

/// Seconds, with decimals if need be, as shell lines and `--wait` write them.
///
/// # Errors
/// A sentence that names the text when it is not a number from 0 to a year.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    const YEAR_SECONDS: f64 = 366.0 * 86_400.0;
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=YEAR_SECONDS).contains(&seconds) => {
            Ok(Duration::from_secs_f64(seconds))
        }
        _ => Err(format!("{text:?} is not a number of seconds")),
    }
}

/// Bytes for people: `1.4 MB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut factor = 1000_u128;
    let mut units = UNITS.iter().peekable();
    loop {
        let unit = units.next().unwrap_or(&"");
        let tenths = (u128::from(bytes) * 10 + factor / 2) / factor;
        if tenths < 10_000 || units.peek().is_none() {
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
        factor *= 1000;
    }
}

/// A rate for people: `1.4 MB/s`.
pub(crate) fn rate(bytes_per_second: u64) -> String {
    format!("{}/s", size(bytes_per_second))
}

/// How long the rest takes at this rate, for people; empty when nobody can tell.
pub(crate) fn time_left(bytes: u64, bytes_per_second: u64) -> String {
    match bytes.checked_div(bytes_per_second) {
        None => String::new(),
        Some(seconds) => {
            format!(
                "{} left",
                humantime::format_duration(Duration::from_secs(seconds))
            )
        }
    }
}

/// `1 file`, `2 files`.
pub(crate) fn count(number: usize, singular: &str) -> String {
    count_u64(number as u64, singular)
}

/// The same for numbers of any machine.
pub(crate) fn count_u64(number: u64, singular: &str) -> String {
    if number == 1 {
        format!("1 {singular}")
    } else {
        format!("{number} {singular}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_every_spelling() {
        let table = [
            ("0", 0),
            ("1500000", 1_500_000),
            ("1.5MB", 1_500_000),
            ("1.5m", 1_500_000),
            ("2 GiB", 2 << 30),
            ("0.5kib", 512),
            ("7 b", 7),
            ("18446744073709551615", u64::MAX),
        ];
        for (text, bytes) in table {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
        }
        for text in [
            "",
            "MB",
            "-1",
            "1e3",
            "1.2.3",
            "ten",
            "18446744073709551616",
            "99999999t",
        ] {
            let error = text.parse::<Bytes>().unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
    }

    #[test]
    fn sizes_are_shown_with_one_decimal() {
        let table = [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (999_949, "999.9 kB"),
            (999_999, "1.0 MB"),
            (1_449_999, "1.4 MB"),
            (12_345_678_901, "12.3 GB"),
            (u64::MAX, "18446744.1 TB"),
        ];
        for (bytes, text) in table {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn seconds_are_a_sane_number() {
        assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(seconds("0"), Ok(Duration::ZERO));
        for text in ["", "-1", "NaN", "inf", "1e300", "soon"] {
            assert!(seconds(text).unwrap_err().contains(&format!("{text:?}")));
        }
    }

    #[test]
    fn the_time_left_is_unknown_without_a_rate() {
        assert_eq!(time_left(1000, 0), "");
        assert_eq!(time_left(120, 2), "1m left");
    }
}
