//! How a wealth is written: the bits of its numbers, as IEEE 754 has them, in digits of base 64.
//!
//! One text for all of them is exact, shorter than their decimals, and read in a fraction of the time. A
//! snapshot holds dozens of wealths, and each look reads and writes them all.

use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{ALTERNATIVES, Wealth};

/// The digits, from 0 to 63: those that RFC 4648, 5, has for base 64.
const ALPHABET: [u8; 64] = *b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What each byte is as a digit.
const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut value = 0;
    while value < ALPHABET.len() {
        values[ALPHABET[value] as usize] = value as u8;
        value += 1;
    }
    values
};

/// No digit.
const NONE: u8 = u8::MAX;

/// The bits of one digit, and the digits of one number.
const BITS: u32 = 6;
const DIGITS: usize = 6;

/// The stakes, and the cash behind them.
const LENGTH: usize = (ALTERNATIVES + 1) * DIGITS;

impl Serialize for Wealth {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = [0; LENGTH];
        let numbers = self.staked.iter().chain([&self.cash]);
        for (digits, number) in text.chunks_exact_mut(DIGITS).zip(numbers) {
            write(digits, number.to_bits());
        }
        let text = std::str::from_utf8(&text).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(text)
    }
}

impl<'de> Deserialize<'de> for Wealth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Bits)
    }
}

/// Reads the text, and the list of numbers that was written before there was one.
struct Bits;

impl<'de> Visitor<'de> for Bits {
    type Value = Wealth;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{LENGTH} digits of base 64")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Wealth, E> {
        let refused = || E::invalid_value(de::Unexpected::Str(text), &self);
        if text.len() != LENGTH {
            return Err(refused());
        }
        let mut numbers = [0; ALTERNATIVES + 1];
        for (number, digits) in numbers.iter_mut().zip(text.as_bytes().chunks_exact(DIGITS)) {
            *number = read(digits).ok_or_else(refused)?;
        }
        let [staked @ .., cash] = numbers;
        Ok(Wealth::from_bits(staked, cash))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Wealth, A::Error> {
        let list = de::value::SeqAccessDeserializer::new(list);
        let (staked, cash) = <([u32; ALTERNATIVES], u32)>::deserialize(list)?;
        Ok(Wealth::from_bits(staked, cash))
    }
}

fn write(digits: &mut [u8], number: u32) {
    for (place, digit) in digits.iter_mut().rev().enumerate() {
        let shift = BITS * place as u32;
        *digit = ALPHABET[(number >> shift) as usize % ALPHABET.len()];
    }
}

fn read(digits: &[u8]) -> Option<u32> {
    let number = digits.iter().try_fold(0, |number, digit| {
        let value = VALUES[usize::from(*digit)];
        (value != NONE).then_some(number << BITS | u64::from(value))
    });
    u32::try_from(number?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wealth() -> Wealth {
        Wealth {
            staked: [0.85, 1e-30, 1e9, 1.5, 0.1],
            cash: 0.15,
        }
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let text = serde_json::to_string(&wealth()).unwrap();
        assert_eq!(text, r#""A_WZmaANokJgBObmsoA_wAAAA9zMzNA-GZma""#);
        assert_eq!(serde_json::from_str::<Wealth>(&text).unwrap(), wealth());
        let list = "[[1062836634,228737632,1315859240,1069547520,1036831949],1041865114]";
        assert_eq!(serde_json::from_str::<Wealth>(list).unwrap(), wealth());
    }

    #[test]
    fn what_cannot_be_is_refused_or_brought_back_into_range() {
        let digits = |each: &str, cash: &str| format!("{:?}", each.repeat(ALTERNATIVES) + cash);
        for text in [
            digits("A_WZma", "A-GZm"),
            digits("A_WZma", "A-GZmaA"),
            digits("A_WZm=", "A-GZma"),
            // More than 32 bits.
            digits("E_WZma", "A-GZma"),
        ] {
            let error = serde_json::from_str::<Wealth>(&text).unwrap_err();
            assert!(
                error.to_string().contains("36 digits of base 64"),
                "{error}"
            );
        }
        let read = |text: String| serde_json::from_str::<Wealth>(&text).unwrap();
        let nan = read(digits("B_wAAA", "B_wAAA"));
        assert_eq!((nan.staked, nan.cash), ([1e-30; ALTERNATIVES], 0.0));
        let negative = read(digits("C_gAAA", "C_gAAA"));
        assert_eq!(
            (negative.staked, negative.cash),
            ([1e-30; ALTERNATIVES], 0.0)
        );
        let endless = read(digits("B_gAAA", "B_gAAA"));
        assert_eq!((endless.staked, endless.cash), ([1e9; ALTERNATIVES], 0.0));
    }
}
