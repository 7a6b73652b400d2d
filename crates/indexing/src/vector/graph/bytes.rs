//! Arrays as bytes: owned on a cache line's boundary, read as little-endian words.

const LINE: usize = 64;

/// Bytes that begin where a cache line does.
#[derive(Default)]
pub(super) struct AlignedBytes {
    bytes: Vec<u8>,
    start: usize,
}

impl AlignedBytes {
    pub(super) fn with_capacity(len: usize) -> Self {
        let mut bytes: Vec<u8> = Vec::with_capacity(len + LINE - 1);
        let start = bytes.as_ptr().align_offset(LINE).min(LINE - 1);
        bytes.resize(start, 0);
        Self { bytes, start }
    }

    pub(super) fn from_words(words: impl ExactSizeIterator<Item = u32>) -> Self {
        let mut out = Self::with_capacity(words.len() * 4);
        words.for_each(|word| out.extend(&word.to_le_bytes()));
        out
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Makes room for so many more. A plain `Vec` would grow to where no line begins.
    pub(super) fn reserve(&mut self, more: usize) {
        if self.bytes.capacity() - self.bytes.len() < more {
            let mut larger = Self::with_capacity(self.len() + more);
            larger.bytes.extend_from_slice(self.as_slice());
            *self = larger;
        }
    }

    pub(super) fn extend(&mut self, more: &[u8]) {
        if self.bytes.capacity() - self.bytes.len() < more.len() {
            self.reserve(self.len().max(more.len()));
        }
        self.bytes.extend_from_slice(more);
    }
}

impl Clone for AlignedBytes {
    fn clone(&self) -> Self {
        let mut out = Self::with_capacity(self.len());
        out.extend(self.as_slice());
        out
    }
}

/// Little-endian numbers of four bytes, at any address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words<'a>(&'a [[u8; 4]]);

impl<'a> Words<'a> {
    /// Bytes after the last whole word do not count.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes.as_chunks().0)
    }

    pub(super) fn len(self) -> usize {
        self.0.len()
    }

    #[inline(always)]
    pub(super) fn get(self, index: usize) -> Option<u32> {
        self.0.get(index).copied().map(u32::from_le_bytes)
    }

    #[inline(always)]
    pub(super) fn float(self, index: usize) -> f32 {
        self.get(index).map_or(0.0, f32::from_bits)
    }

    /// The `len` words from `start` on, if there are so many.
    #[inline(always)]
    pub(super) fn range(self, start: usize, len: usize) -> Option<Self> {
        self.0.get(start..)?.get(..len).map(Self)
    }

    #[inline(always)]
    pub(super) fn iter(self) -> impl ExactSizeIterator<Item = u32> + DoubleEndedIterator + 'a {
        self.0.iter().copied().map(u32::from_le_bytes)
    }

    #[inline(always)]
    pub(super) fn as_bytes(self) -> &'a [u8] {
        self.0.as_flattened()
    }
}
