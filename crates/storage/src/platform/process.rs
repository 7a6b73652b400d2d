//! What a system tells of this process.

/// What this process has taken of the machine. What a system does not tell is left out.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ProcessFacts {
    /// Seconds of processors, in programs and in the system.
    pub cpu_seconds: Option<f64>,
    /// Bytes of memory that are its own.
    pub resident_bytes: Option<u64>,
    /// Bytes of its address space.
    pub virtual_bytes: Option<u64>,
    /// Files that it has open.
    pub open_files: Option<u64>,
    /// Files that it may have open.
    pub most_open_files: Option<u64>,
    /// When it began, in seconds since 1970-01-01 UTC.
    pub began: Option<f64>,
    /// Its threads.
    pub threads: Option<u64>,
}

/// Asks the system.
pub fn process_facts() -> ProcessFacts {
    #[cfg(target_os = "linux")]
    {
        let read = |name: &str| std::fs::read_to_string(name).unwrap_or_default();
        let mut facts = parse(&read("/proc/self/stat"), &read("/proc/stat"), ticks(), page());
        let open = std::fs::read_dir("/proc/self/fd").map(Iterator::count);
        // Looking opens one more.
        facts.open_files = open.ok().map(|open| open.saturating_sub(1) as u64);
        facts.most_open_files = super::limits().and_then(|limits| limits.open_files);
        facts
    }
    #[cfg(not(target_os = "linux"))]
    ProcessFacts::default()
}

/// Ticks of a second, in which the system counts.
#[cfg(target_os = "linux")]
fn ticks() -> f64 {
    // SAFETY: no arguments in memory, no side effects.
    #[allow(unsafe_code)]
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    if ticks > 0 { ticks as f64 } else { 100.0 }
}

#[cfg(target_os = "linux")]
fn page() -> u64 {
    super::page_size() as u64
}

/// By the line of the process in `/proc`, and the lines of the system.
#[cfg(any(target_os = "linux", test))]
fn parse(process: &str, system: &str, ticks: f64, page: u64) -> ProcessFacts {
    // The name of the program stands in parentheses, and may hold any.
    let fields = process.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let booted = system.lines().find_map(|line| line.strip_prefix("btime ")?.parse::<f64>().ok());
    let seconds = |ticked: u64| ticked as f64 / ticks;
    ProcessFacts {
        cpu_seconds: number(11).zip(number(12)).map(|(own, of_system)| seconds(own + of_system)),
        resident_bytes: number(21).map(|pages| pages.saturating_mul(page)),
        virtual_bytes: number(20),
        threads: number(17),
        began: booted.zip(number(19)).map(|(booted, after)| booted + seconds(after)),
        ..ProcessFacts::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_proc_is_read_whatever_the_program_is_named() {
        let line = "7 (a) b (c) S 1 7 7 0 -1 4194560 99 0 0 0 150 50 0 0 20 0 3 0 1000 8192 2 18";
        let facts = parse(line, "cpu 1 2\nbtime 1700000000\n", 100.0, 4096);
        assert_eq!(facts.cpu_seconds, Some(2.0));
        assert_eq!((facts.virtual_bytes, facts.resident_bytes), (Some(8192), Some(8192)));
        assert_eq!((facts.threads, facts.began), (Some(3), Some(1_700_000_010.0)));
        assert_eq!(parse("nonsense", "", 100.0, 4096), ProcessFacts::default());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_is_there() {
        let facts = process_facts();
        assert!(facts.resident_bytes > Some(100_000) && facts.threads >= Some(1));
        assert!(facts.open_files >= Some(3), "{facts:?}");
        let ago = embedded_db_common::clock::now() as f64 / 1e6 - facts.began.unwrap();
        assert!((-10.0..1e6).contains(&ago), "it began {ago} s ago");
    }
}
