/// Why a text is no Go duration. Each text names the input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// It is not a sequence of numbers with units.
    #[error("invalid duration {0:?}; write it as 90s, 1m30s or 500ms")]
    Invalid(String),
    /// A number has no unit.
    #[error("missing unit in duration {0:?}; write {0}s for seconds")]
    MissingUnit(String),
    /// A unit that does not exist.
    #[error("unknown unit {unit:?} in duration {text:?}; the units are h, m, s, ms, us and ns")]
    UnknownUnit {
        /// The unit.
        unit: String,
        /// The whole text.
        text: String,
    },
    /// It does not fit 64 bits of nanoseconds (about 292 years).
    #[error("duration {0:?} is too long; the longest is 2540400h")]
    Overflow(String),
}

/// Reads a duration as Go's `time.ParseDuration` does, in nanoseconds: an optional sign, then numbers with optional
/// fractions and units (`ns`, `us`, `µs`, `μs`, `ms`, `s`, `m`, `h`) without spaces; `0` needs no unit. Digits of a
/// fraction beyond nanoseconds are cut off.
///
/// # Errors
///
/// See [`DurationError`]. No input panics.
pub fn parse_duration(text: &str) -> Result<i64, DurationError> {
    let invalid = || DurationError::Invalid(text.to_owned());
    let overflow = || DurationError::Overflow(text.to_owned());
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    // A negative duration reaches one nanosecond further than a positive one.
    let limit = i64::MAX as u128 + u128::from(negative);
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let end = after
            .find(|c: char| c == '.' || c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        if unit.is_empty() {
            return Err(DurationError::MissingUnit(text.to_owned()));
        }
        let Some(scale) = nanoseconds(unit) else {
            return Err(DurationError::UnknownUnit {
                unit: unit.to_owned(),
                text: text.to_owned(),
            });
        };
        let whole: u128 = match whole {
            "" => 0,
            digits => digits.parse().map_err(|_| overflow())?,
        };
        let part = whole
            .checked_mul(scale)
            .and_then(|part| part.checked_add(fraction_of(fraction, scale)))
            .ok_or_else(overflow)?;
        total = total.checked_add(part).ok_or_else(overflow)?;
        if total > limit {
            return Err(overflow());
        }
        rest = after;
    }
    let total = if negative {
        0_i64.checked_sub_unsigned(total as u64)
    } else {
        i64::try_from(total).ok()
    };
    total.ok_or_else(overflow)
}

fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

fn nanoseconds(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        // U+00B5 (micro sign) and U+03BC (Greek letter mu).
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// `0.<digits>` of a unit, in nanoseconds. Digits beyond the eighteenth cannot make a nanosecond of an hour.
fn fraction_of(digits: &str, scale: u128) -> u128 {
    let mut value = 0;
    let mut divisor = 1;
    for digit in digits.bytes().take(18) {
        value = value * 10 + u128::from(digit - b'0');
        divisor *= 10;
    }
    value * scale / divisor
}
