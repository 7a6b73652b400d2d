//! Tokens: 64 bytes that say where something lies on eight axes, and how much it counts.
//!
//! The layout is the same in memory, in files, in NumPy and in a pickle. All numbers are little-endian:
//!
//! | offset | bytes | field | |
//! |---|---|---|---|
//! | 0 | 8 | `id` | unsigned |
//! | 8 | 8 × 4 | `coordinates` | floats, in the order of [`AXES`] |
//! | 40 | 4 | `weight` | float |
//! | 44 | 2 | `flags` | bits, all of them the user's |
//! | 46 | 2 | `version` | of this layout: 1 |
//! | 48 | 8 | `created_at` | microseconds since 1970-01-01 UTC, signed |
//! | 56 | 8 | `updated_at` | the same |

use crate::clock::{self, Micros};
use crate::{Error, Result};

/// The names of the eight coordinates, in their order.
pub const AXES: [&str; 8] =
    ["physical", "sensory", "motor", "emotional", "cognitive", "social", "temporal", "abstract"];

/// Size of a token.
pub const TOKEN_BYTES: usize = 64;

/// The layout that is written. Whatever would give a byte another meaning takes the next number.
pub const TOKEN_VERSION: u16 = 1;

/// A token. A plain value: any 64 bytes are one, though not one that [`Token::check`] lets pass.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C)]
pub struct Token {
    /// Whose it is.
    pub id: u64,
    /// Where it lies, along [`AXES`].
    pub coordinates: [f32; 8],
    /// How much it counts.
    pub weight: f32,
    /// The user's.
    pub flags: u16,
    /// Of the layout.
    pub version: u16,
    /// When it was made.
    pub created_at: Micros,
    /// When it was changed.
    pub updated_at: Micros,
}

// Both are what makes the layout that of memory.
const _: () = assert!(size_of::<Token>() == TOKEN_BYTES && cfg!(target_endian = "little"));

impl Token {
    /// In the middle of everything, of weight 1, made now.
    pub fn new(id: u64) -> Self {
        Self::at(id, clock::now())
    }

    /// As [`Token::new`], made at a time.
    pub fn at(id: u64, now: Micros) -> Self {
        Self {
            id,
            coordinates: [0.0; 8],
            weight: 1.0,
            flags: 0,
            version: TOKEN_VERSION,
            created_at: now,
            updated_at: now,
        }
    }

    /// Fails for another layout, and for numbers that are none.
    pub fn check(&self) -> Result<()> {
        if self.version != TOKEN_VERSION {
            return Err(Error::InvalidInput(format!(
                "the token {} has version {}; it must be {TOKEN_VERSION}",
                self.id, self.version
            )));
        }
        let numbers = AXES.into_iter().zip(self.coordinates).chain([("weight", self.weight)]);
        for (name, value) in numbers {
            if !value.is_finite() {
                return Err(Error::InvalidInput(format!(
                    "{name} of the token {} is {value}; it must be a finite number",
                    self.id
                )));
            }
        }
        Ok(())
    }

    /// In the layout above.
    pub fn to_bytes(&self) -> [u8; TOKEN_BYTES] {
        let mut out = [0; TOKEN_BYTES];
        let mut rest = &mut out[..];
        let mut put = |bytes: &[u8]| {
            let (place, behind) = std::mem::take(&mut rest).split_at_mut(bytes.len());
            place.copy_from_slice(bytes);
            rest = behind;
        };
        put(&self.id.to_le_bytes());
        self.coordinates.iter().for_each(|value| put(&value.to_le_bytes()));
        put(&self.weight.to_le_bytes());
        put(&self.flags.to_le_bytes());
        put(&self.version.to_le_bytes());
        put(&self.created_at.to_le_bytes());
        put(&self.updated_at.to_le_bytes());
        out
    }

    /// Out of the layout above, unchecked.
    pub fn from_bytes(bytes: &[u8; TOKEN_BYTES]) -> Self {
        Self {
            id: u64::from_le_bytes(part(bytes, 0)),
            coordinates: std::array::from_fn(|axis| f32::from_le_bytes(part(bytes, 8 + 4 * axis))),
            weight: f32::from_le_bytes(part(bytes, 40)),
            flags: u16::from_le_bytes(part(bytes, 44)),
            version: u16::from_le_bytes(part(bytes, 46)),
            created_at: Micros::from_le_bytes(part(bytes, 48)),
            updated_at: Micros::from_le_bytes(part(bytes, 56)),
        }
    }
}

fn part<const N: usize>(bytes: &[u8; TOKEN_BYTES], at: usize) -> [u8; N] {
    std::array::from_fn(|offset| bytes[at + offset])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_64_bytes_are_a_token_that_gives_them_back(bytes in any::<[u8; TOKEN_BYTES]>()) {
            prop_assert_eq!(Token::from_bytes(&bytes).to_bytes(), bytes);
        }
    }

    #[test]
    fn the_layout_is_the_one_above() {
        let token = Token {
            id: 0x0102_0304_0506_0708,
            coordinates: [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, -8.0],
            weight: 0.5,
            flags: 0x0a0b,
            version: 1,
            created_at: 3,
            updated_at: -1,
        };
        let bytes = token.to_bytes();
        assert_eq!(bytes[..8], [8, 7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(bytes[8..12], 1.0_f32.to_le_bytes());
        assert_eq!(bytes[36..40], (-8.0_f32).to_le_bytes());
        assert_eq!(bytes[40..44], 0.5_f32.to_le_bytes());
        assert_eq!(bytes[44..48], [0x0b, 0x0a, 1, 0]);
        assert_eq!(bytes[48..56], [3, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[56..], [0xff; 8]);
        assert_eq!(Token::from_bytes(&bytes), token);
    }

    #[test]
    fn what_is_no_number_or_of_another_layout_is_refused() {
        assert!(Token::new(1).check().is_ok());
        let mut token = Token::new(42);
        token.coordinates[3] = f32::NAN;
        let told = token.check().unwrap_err().to_string();
        assert!(told.contains("emotional of the token 42 is NaN"), "{told}");
        let token = Token { weight: f32::INFINITY, ..Token::new(1) };
        assert!(token.check().unwrap_err().to_string().contains("weight"));
        let token = Token { version: 2, ..Token::new(1) };
        assert!(token.check().unwrap_err().to_string().contains("version 2"));
    }
}
