//! The weighting formula, in one place: search and scorer must agree to the last bit.

/// Constants of BM25. Values that make no sense (negative, not finite, `b` over 1) are brought into
/// range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bm25 {
    /// How slowly further occurrences of a term stop counting.
    pub k1: f32,
    /// How much long documents are held back, 0 to 1.
    pub b: f32,
}

impl Default for Bm25 {
    /// 0.9 and 0.4, measured best for short texts.
    fn default() -> Self {
        Self { k1: 0.9, b: 0.4 }
    }
}

/// The formula for the collection a reader sees.
#[derive(Debug, Clone, Copy)]
pub struct Weighting {
    k1: f32,
    /// What the length of a document adds to the denominator is `base + slope · length`.
    base: f32,
    slope: f32,
    documents: f64,
}

impl Weighting {
    /// `words` is the number of words in all `documents`; both above zero.
    pub fn new(params: Bm25, documents: u64, words: u64) -> Self {
        let k1 = if params.k1.is_finite() { params.k1.clamp(0.0, 1e6) } else { Bm25::default().k1 };
        let b = if params.b.is_finite() { params.b.clamp(0.0, 1.0) } else { Bm25::default().b };
        let average = words as f64 / documents as f64;
        let slope = (f64::from(k1) * f64::from(b) / average) as f32;
        Self { k1, base: k1 * (1.0 - b), slope, documents: documents as f64 }
    }

    /// Weight of a term held by `holders` of the documents.
    pub fn term(&self, holders: u64) -> f32 {
        let holders = holders as f64;
        let rarity = (1.0 + (self.documents - holders + 0.5) / (holders + 0.5)).ln();
        (rarity * (f64::from(self.k1) + 1.0)) as f32
    }

    /// What a term of this weight gives a document of `length` words that holds it `count` times.
    #[inline]
    pub fn score(&self, weight: f32, count: u32, length: u32) -> f32 {
        let count = count as f32;
        weight * (count / (count + (self.base + self.slope * length as f32)))
    }

    /// No document scores more than this on a term that none holds more than `count` times.
    pub(super) fn bound(&self, weight: f32, count: u32) -> f32 {
        self.score(weight, count, 0)
    }
}
