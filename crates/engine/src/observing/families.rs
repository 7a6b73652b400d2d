//! Figures as text for Prometheus: families of one prefix, in the text format 0.0.4.

use std::fmt::Write;

use embedded_db_common::metrics::Distribution;

/// What begins the name of every family.
const PREFIX: &str = "edb_";
/// A nanosecond.
pub const NANO: f64 = 1e-9;

/// The kinds of families.
#[derive(Clone, Copy)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How often values lay in which range.
    Histogram,
}

/// The text as it grows, family by family.
#[derive(Default)]
pub struct Families {
    text: String,
    name: String,
}

impl Families {
    /// Begins a family; its samples follow. A standard one, of the process, has no prefix of ours.
    pub fn begin(&mut self, name: &str, kind: Kind, help: &str) -> &mut Self {
        let prefix = if name.starts_with("process_") { "" } else { PREFIX };
        self.name = format!("{prefix}{name}");
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let name = &self.name;
        self.text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        self
    }

    /// A number of the family, with its labels.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: f64) -> &mut Self {
        self.line("", labels, None, value)
    }

    /// A histogram of the family; `unit` is what a value of it is in that of the family.
    pub fn histogram(
        &mut self,
        labels: &[(&str, &str)],
        of: &Distribution,
        unit: f64,
    ) -> &mut Self {
        let bounds = of.bounds.iter().map(|bound| number(rounded(*bound as f64 * unit)));
        for (bound, count) in bounds.chain(["+Inf".into()]).zip(&of.cumulative) {
            self.line("_bucket", labels, Some(&bound), *count as f64);
        }
        self.line("_sum", labels, None, of.sum as f64 * unit);
        self.line("_count", labels, None, of.count() as f64)
    }

    fn line(
        &mut self,
        suffix: &str,
        labels: &[(&str, &str)],
        bound: Option<&str>,
        value: f64,
    ) -> &mut Self {
        let labels = labels.iter().copied().chain(bound.map(|bound| ("le", bound)));
        let labels: Vec<String> =
            labels.map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels =
            if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        // Writing to a String cannot fail.
        let _written = writeln!(self.text, "{}{suffix}{labels} {}", self.name, number(value));
        self
    }

    /// All of it.
    pub fn end(self) -> String {
        self.text
    }
}

/// Without what the multiplication with a unit that is no power of two has left.
fn rounded(value: f64) -> f64 {
    (value * 1e9).round() / 1e9
}

fn number(value: f64) -> String {
    if value == f64::INFINITY {
        return "+Inf".into();
    }
    if value == f64::NEG_INFINITY {
        return "-Inf".into();
    }
    value.to_string()
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use embedded_db_common::metrics::Histogram;

    use super::*;

    #[test]
    fn labels_are_escaped_and_histograms_accumulate() {
        let mut families = Families::default();
        families.begin("x_info", Kind::Gauge, "What.").sample(&[("a", "q\"\\\n")], 1.0);
        let histogram = Histogram::new(&[10_000, 25_000]);
        for value in [10_000, 20_000, 30_000] {
            histogram.observe(value);
        }
        families.begin("t_seconds", Kind::Histogram, "How long.").histogram(
            &[("op", "get")],
            &histogram.read(),
            NANO,
        );
        families.begin("process_threads", Kind::Gauge, "How many.").sample(&[], f64::INFINITY);
        let expected = r#"# HELP edb_x_info What.
# TYPE edb_x_info gauge
edb_x_info{a="q\"\\\n"} 1
# HELP edb_t_seconds How long.
# TYPE edb_t_seconds histogram
edb_t_seconds_bucket{op="get",le="0.00001"} 1
edb_t_seconds_bucket{op="get",le="0.000025"} 2
edb_t_seconds_bucket{op="get",le="+Inf"} 3
edb_t_seconds_sum{op="get"} 0.00006
edb_t_seconds_count{op="get"} 3
# HELP process_threads How many.
# TYPE process_threads gauge
process_threads +Inf
"#;
        assert_eq!(families.end(), expected);
    }
}
