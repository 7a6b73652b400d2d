//! Values as bytes on the way between two processes of the same version: in order, without names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use embedded_db_common::{Error, Result};
use embedded_db_storage::Symbols;

/// What can be sent.
pub(crate) trait Wire: Sized {
    fn put(&self, out: &mut Vec<u8>);
    fn take(from: &mut Taken<'_>) -> Result<Self>;
}

/// Bytes that were received, as far as they were not read.
pub(crate) struct Taken<'a> {
    bytes: &'a [u8],
    /// What names stand for in records.
    symbols: Option<&'a Arc<Symbols>>,
}

impl<'a> Taken<'a> {
    pub(crate) fn new(bytes: &'a [u8], symbols: &'a Arc<Symbols>) -> Self {
        Self { bytes, symbols: Some(symbols) }
    }

    /// Those in which there are no records.
    pub(crate) fn plain(bytes: &'a [u8]) -> Self {
        Self { bytes, symbols: None }
    }

    /// What names stand for.
    pub(crate) fn symbols(&self) -> Result<&'a Arc<Symbols>> {
        self.symbols.ok_or_else(garbled)
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or_else(garbled)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.bytes.split_first_chunk().ok_or_else(garbled)?;
        self.bytes = rest;
        Ok(*taken)
    }

    /// All of a message.
    pub(crate) fn only<T: Wire>(mut self) -> Result<T> {
        let value = T::take(&mut self)?;
        if self.bytes.is_empty() { Ok(value) } else { Err(garbled()) }
    }
}

/// Both sides are of one version, so this is a defect.
pub(crate) fn garbled() -> Error {
    Error::Internal("what another process sent cannot be read".into())
}

/// Bytes of a value.
pub(crate) fn sent<T: Wire>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    value.put(&mut out);
    out
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Wire for $number {
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            fn take(from: &mut Taken<'_>) -> Result<Self> {
                from.array().map(Self::from_le_bytes)
            }
        }
    )*};
}

numbers!(u8, u16, u32, u64, i64, f32, f64);

impl Wire for usize {
    fn put(&self, out: &mut Vec<u8>) {
        (*self as u64).put(out);
    }

    fn take(from: &mut Taken<'_>) -> Result<Self> {
        u64::take(from)?.try_into().map_err(|_| garbled())
    }
}

impl Wire for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn take(from: &mut Taken<'_>) -> Result<Self> {
        match u8::take(from)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(garbled()),
        }
    }
}

impl Wire for () {
    fn put(&self, _: &mut Vec<u8>) {}

    fn take(_: &mut Taken<'_>) -> Result<Self> {
        Ok(())
    }
}

/// Bytes with their number before them.
pub(crate) fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    bytes.len().put(out);
    out.extend_from_slice(bytes);
}

pub(crate) fn take_bytes<'a>(from: &mut Taken<'a>) -> Result<&'a [u8]> {
    let count = usize::take(from)?;
    from.bytes(count)
}

impl Wire for String {
    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(self.as_bytes(), out);
    }

    fn take(from: &mut Taken<'_>) -> Result<Self> {
        let text = std::str::from_utf8(take_bytes(from)?).map_err(|_| garbled())?;
        Ok(text.to_owned())
    }
}

impl Wire for &'static str {
    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(self.as_bytes(), out);
    }

    /// There are few, for they stand in the program: each is kept once.
    fn take(from: &mut Taken<'_>) -> Result<Self> {
        static KNOWN: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
        let text = std::str::from_utf8(take_bytes(from)?).map_err(|_| garbled())?;
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(text) = known.get(text) {
            return Ok(text);
        }
        let kept: &'static str = Box::leak(text.into());
        known.insert(kept);
        Ok(kept)
    }
}

impl Wire for PathBuf {
    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(self.as_os_str().as_encoded_bytes(), out);
    }

    fn take(from: &mut Taken<'_>) -> Result<Self> {
        let bytes = take_bytes(from)?;
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStrExt;
            Ok(std::ffi::OsStr::from_bytes(bytes).into())
        }
        #[cfg(not(unix))]
        Ok(String::from_utf8_lossy(bytes).into_owned().into())
    }
}

impl Wire for Duration {
    fn put(&self, out: &mut Vec<u8>) {
        self.as_secs().put(out);
        self.subsec_nanos().put(out);
    }

    fn take(from: &mut Taken<'_>) -> Result<Self> {
        let (seconds, nanos) = (u64::take(from)?, u32::take(from)?);
        Ok(Self::from_secs(seconds).saturating_add(Self::from_nanos(nanos.into())))
    }
}

impl<T: Wire> Wire for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn take(from: &mut Taken<'_>) -> Result<Self> {
        if bool::take(from)? { T::take(from).map(Some) } else { Ok(None) }
    }
}

impl<T: Wire> Wire for Box<T> {
    fn put(&self, out: &mut Vec<u8>) {
        (**self).put(out);
    }

    fn take(from: &mut Taken<'_>) -> Result<Self> {
        T::take(from).map(Box::new)
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.len().put(out);
        self.iter().for_each(|value| value.put(out));
    }

    fn take(from: &mut Taken<'_>) -> Result<Self> {
        (0..usize::take(from)?).map(|_| T::take(from)).collect()
    }
}

impl<T: Wire + Ord> Wire for BTreeSet<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.len().put(out);
        self.iter().for_each(|value| value.put(out));
    }

    fn take(from: &mut Taken<'_>) -> Result<Self> {
        (0..usize::take(from)?).map(|_| T::take(from)).collect()
    }
}

impl<K: Wire + Ord, V: Wire> Wire for BTreeMap<K, V> {
    fn put(&self, out: &mut Vec<u8>) {
        self.len().put(out);
        for (key, value) in self {
            key.put(out);
            value.put(out);
        }
    }

    fn take(from: &mut Taken<'_>) -> Result<Self> {
        (0..usize::take(from)?).map(|_| Ok((K::take(from)?, V::take(from)?))).collect()
    }
}

macro_rules! tuples {
    ($(($($of:ident $at:tt),*)),*) => {$(
        impl<$($of: Wire),*> Wire for ($($of,)*) {
            fn put(&self, out: &mut Vec<u8>) {
                $(self.$at.put(out);)*
            }

            fn take(from: &mut Taken<'_>) -> Result<Self> {
                Ok(($($of::take(from)?,)*))
            }
        }
    )*};
}

tuples!((A 0, B 1), (A 0, B 1, C 2));

impl<T: Wire> Wire for Result<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_ok().put(out);
        match self {
            Ok(value) => value.put(out),
            Err(error) => error.put(out),
        }
    }

    fn take(from: &mut Taken<'_>) -> Result<Self> {
        if bool::take(from)? { T::take(from).map(Ok) } else { Error::take(from).map(Err) }
    }
}

/// A type whose fields are sent in this order.
macro_rules! wire_struct {
    ($($of:ty { $($field:ident),* $(,)? })*) => {$(
        impl $crate::sharing::wire::Wire for $of {
            fn put(&self, out: &mut Vec<u8>) {
                $($crate::sharing::wire::Wire::put(&self.$field, out);)*
            }

            fn take(
                from: &mut $crate::sharing::wire::Taken<'_>,
            ) -> ::embedded_db_common::Result<Self> {
                Ok(Self { $($field: $crate::sharing::wire::Wire::take(from)?),* })
            }
        }
    )*};
}

/// A type of variants, by their order: unit ones, then with fields, then tuples.
macro_rules! wire_enum {
    ($of:ty {
        $($unit:ident)*
        ; $($named:ident { $($field:ident),* })*
        ; $($tuple:ident ( $($item:ident),* ))*
    }) => {
        impl $crate::sharing::wire::Wire for $of {
            #[allow(unused_variables, unused_assignments, unused_mut)]
            fn put(&self, out: &mut Vec<u8>) {
                let mut number = 0_u8;
                $(
                    if let Self::$unit = self {
                        out.push(number);
                    }
                    number += 1;
                )*
                $(
                    if let Self::$named { $($field),* } = self {
                        out.push(number);
                        $($crate::sharing::wire::Wire::put($field, out);)*
                    }
                    number += 1;
                )*
                $(
                    if let Self::$tuple($($item),*) = self {
                        out.push(number);
                        $($crate::sharing::wire::Wire::put($item, out);)*
                    }
                    number += 1;
                )*
                // One that is forgotten above does not compile.
                match self {
                    $(Self::$unit => {})*
                    $(Self::$named { .. } => {})*
                    $(Self::$tuple(..) => {})*
                }
            }

            #[allow(unused_variables, unused_assignments, unused_mut)]
            fn take(
                from: &mut $crate::sharing::wire::Taken<'_>,
            ) -> ::embedded_db_common::Result<Self> {
                let found = <u8 as $crate::sharing::wire::Wire>::take(from)?;
                let mut number = 0_u8;
                $(
                    if found == number {
                        return Ok(Self::$unit);
                    }
                    number += 1;
                )*
                $(
                    if found == number {
                        return Ok(Self::$named {
                            $($field: $crate::sharing::wire::Wire::take(from)?),*
                        });
                    }
                    number += 1;
                )*
                $(
                    if found == number {
                        $(let $item = $crate::sharing::wire::Wire::take(from)?;)*
                        return Ok(Self::$tuple($($item),*));
                    }
                    number += 1;
                )*
                Err($crate::sharing::wire::garbled())
            }
        }
    };
}

pub(crate) use {wire_enum, wire_struct};
