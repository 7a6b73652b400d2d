//! Vectors to measure with.

/// Unit vectors around centres, which lie around fewer centres; every cluster is wide in some
/// directions of its own.
pub(crate) fn mixture(count: usize, dim: usize) -> Vec<f32> {
    const CLUSTERS: usize = 800;
    const WIDE: usize = 32;
    let mut numbers = Numbers(1);
    let mut draw =
        |scale: f32| -> Vec<f32> { (0..dim).map(|_| numbers.normal() * scale).collect() };
    let themes: Vec<Vec<f32>> = (0..20).map(|_| draw(1.0)).collect();
    let clusters: Vec<(Vec<f32>, Vec<Vec<f32>>)> = (0..CLUSTERS)
        .map(|cluster| {
            let centre = themes[cluster % themes.len()].iter().zip(draw(0.8));
            let centre = centre.map(|(theme, own)| theme + own).collect();
            (centre, (0..WIDE).map(|_| draw(0.7)).collect())
        })
        .collect();
    let mut numbers = Numbers(2);
    let mut out = Vec::with_capacity(count * dim);
    for _ in 0..count {
        // Some clusters are larger than others.
        let share = numbers.unit() * numbers.unit();
        let (centre, directions) = &clusters[(share * CLUSTERS as f32) as usize];
        let mut vector = centre.clone();
        for direction in directions {
            let step = numbers.normal();
            vector.iter_mut().zip(direction).for_each(|(x, along)| *x += step * along);
        }
        vector.iter_mut().for_each(|x| *x += numbers.normal() * 0.4);
        let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        out.extend(vector.iter().map(|x| x / norm));
    }
    out
}

/// Numbers from a seed.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// In 0 .. 1.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 24) as f32
    }

    /// About normal: mean 0, variance 1.
    fn normal(&mut self) -> f32 {
        let sum: f32 = (0..6).map(|_| self.unit()).sum();
        (sum - 3.0) * std::f32::consts::SQRT_2
    }
}
