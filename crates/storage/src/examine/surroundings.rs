//! What a database lies on and runs in: file system, room, limits, versions.

use std::path::Path;

use super::{Fact, Finding, size};
use crate::format::FORMAT;
use crate::platform::{self, FileSystem, Limits};

/// Address space that opening takes at the least.
const MAP: u64 = 1 << 36;
/// What a small commit needs.
const SMALL: u64 = 1 << 20;
/// Open files below which opening may fail.
const FILES: u64 = 64;

pub(super) fn look(path: &Path, data: u64, findings: &mut Vec<Finding>) {
    let refused = platform::network_file_system(path);
    findings.push(file_system(platform::file_system(path), refused));
    findings.push(free_space(platform::free_space(path), data));
    findings.push(limits(platform::limits(), data));
    findings.push(versions());
}

/// How far a file system can be trusted with maps and locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    Local,
    /// Other machines change files that are mapped here, and locks may mean nothing there.
    Network,
    /// A program serves it: what it does with maps and locks, nobody knows.
    Program,
}

fn trust(name: &str) -> Trust {
    const NETWORK: [&str; 8] =
        ["9p", "ceph", "lustre", "gpfs", "glusterfs", "ocfs2", "gfs2", "beegfs"];
    const OF_PROGRAMS: [&str; 4] = ["sshfs", "glusterfs", "s3fs", "rclone"];
    let program = name.strip_prefix("fuse.");
    if NETWORK.contains(&name) || program.is_some_and(|program| OF_PROGRAMS.contains(&program)) {
        Trust::Network
    } else if name == "fuse" || name == "virtiofs" || program.is_some() {
        Trust::Program
    } else {
        Trust::Local
    }
}

/// `refused` is the kind of those on which no database is opened.
fn file_system(found: Option<FileSystem>, refused: Option<&str>) -> Finding {
    let about = "file system";
    let remedy = "move the database to a disk of the machine that works with it";
    if let Some(kind) = refused {
        let text = format!("{kind}, a network file system, on which nothing is opened");
        return Finding::error(about, text, remedy).with("type", kind.to_owned());
    }
    let Some(FileSystem { name, read_only }) = found else {
        return Finding::ok(about, "this system does not tell what it is")
            .with("type", Fact::Unknown);
    };
    let told = name.map_or(Fact::Unknown, Fact::Text);
    let name = match &told {
        Fact::Text(name) => name.as_str(),
        _ => "a file system that nothing names",
    };
    let finding = match trust(name) {
        Trust::Network => Finding::warning(
            about,
            format!("{name} is a network file system: maps and locks cannot be relied on there"),
            remedy,
        ),
        Trust::Program => Finding::warning(
            about,
            format!(
                "{name} is served by a program: whether maps and locks work there, it must say"
            ),
            "move the database to a disk, or make sure that the file system has shared maps and locks",
        ),
        Trust::Local if read_only => Finding::warning(
            about,
            format!("{name}, mounted for reading only"),
            "open the database with read_only=True, or mount it for writing",
        ),
        Trust::Local => Finding::ok(about, format!("{name}, of this machine")),
    };
    finding.with("type", told).with("read_only", read_only)
}

fn free_space(free: Option<u64>, data: u64) -> Finding {
    let about = "free space";
    let Some(free) = free else {
        return Finding::ok(about, "this system does not tell").with("bytes", Fact::Unknown);
    };
    let text = format!("{} are free, the data has {}", size(free), size(data));
    let finding = if free < SMALL {
        Finding::error(about, text, "make room: nothing can be written")
    } else if free < data {
        let remedy = "make room before compacting or backing up there: both write the data anew";
        Finding::warning(about, text, remedy)
    } else {
        Finding::ok(about, text)
    };
    finding.with("bytes", free).with("data", data)
}

fn limits(found: Option<Limits>, data: u64) -> Finding {
    let about = "limits";
    let Some(limits) = found else { return Finding::ok(about, "this system has none") };
    let map = MAP.max(data.saturating_mul(2));
    let below = |limit: Option<u64>, least: u64| limit.filter(|limit| *limit < least);
    let finding = if let Some(limit) = below(limits.address_space, map) {
        let text = format!("{} of address space, and opening takes {}", size(limit), size(map));
        let remedy = "raise the limit (ulimit -v), or set map_size_max below it";
        Finding::error(about, text, remedy)
    } else if let Some(limit) = below(limits.file_size, data.saturating_add(SMALL)) {
        let text =
            format!("no file may grow beyond {}, and the data has {}", size(limit), size(data));
        Finding::error(about, text, "raise the limit (ulimit -f)")
    } else if let Some(limit) = below(limits.open_files, FILES) {
        let text = format!("{limit} open files");
        Finding::warning(about, text, "raise the limit (ulimit -n) to 64 or more")
    } else {
        Finding::ok(about, "open files, address space and file sizes suffice")
    };
    finding
        .with("open_files", limits.open_files)
        .with("address_space", limits.address_space)
        .with("file_size", limits.file_size)
}

fn versions() -> Finding {
    let lmdb = heed::lmdb_version();
    let lmdb = format!("{}.{}.{}", lmdb.major, lmdb.minor, lmdb.patch);
    let kernel = platform::kernel();
    let package = env!("CARGO_PKG_VERSION");
    let text = format!(
        "embedded-db {package}, formats up to {FORMAT}, LMDB {lmdb}, {}",
        kernel.as_deref().unwrap_or("an unknown system")
    );
    Finding::ok("versions", text)
        .with("embedded_db", package.to_owned())
        .with("format", u64::from(FORMAT))
        .with("lmdb", lmdb)
        .with("kernel", kernel.map_or(Fact::Unknown, Fact::Text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examine::Level;

    fn of(name: &str, read_only: bool) -> Finding {
        file_system(Some(FileSystem { name: Some(name.into()), read_only }), None)
    }

    /// They cannot be had without being root.
    #[test]
    fn network_file_systems_are_told_of() {
        let refused = file_system(None, Some("NFS"));
        assert_eq!(refused.level, Level::Error);
        assert!(refused.text.starts_with("NFS, a network file system"), "{}", refused.text);
        for name in ["9p", "ceph", "fuse.sshfs", "fuse.glusterfs"] {
            let found = of(name, false);
            assert_eq!(found.level, Level::Warning, "{name}");
            assert!(found.text.contains("network file system"), "{}", found.text);
        }
        for name in ["fuse", "fuse.mine", "virtiofs"] {
            assert!(of(name, false).text.contains("served by a program"), "{name}");
        }
        for name in ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "zfs", "apfs"] {
            assert_eq!(of(name, false).level, Level::Ok, "{name}");
            assert!(of(name, true).remedy.contains("read_only=True"));
        }
        assert_eq!(file_system(None, None).level, Level::Ok);
        let nameless =
            |read_only| file_system(Some(FileSystem { name: None, read_only }), None).level;
        assert_eq!([nameless(false), nameless(true)], [Level::Ok, Level::Warning]);
    }

    #[test]
    fn room_is_compared_with_what_is_needed() {
        let level = |free, data| free_space(free, data).level;
        assert_eq!(level(Some(SMALL - 1), 0), Level::Error);
        assert_eq!(level(Some(SMALL), SMALL + 1), Level::Warning);
        assert_eq!(level(Some(SMALL), SMALL), Level::Ok);
        assert_eq!(level(None, SMALL), Level::Ok);
    }
}
