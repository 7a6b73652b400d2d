//! The database on a machine that is simulated: everything that happens follows from a seed, and happens
//! again with it.
//!
//! A seed decides what is done, by which thread, and what goes wrong: processes are killed, the power is
//! cut, calls fail, the disk writes something else than it was told. What the database holds is compared
//! with a plain model all the time.
//!
//! The machine's calls are those of Linux; elsewhere this program says so and ends.

#[cfg(target_os = "linux")]
mod damage;
#[cfg(target_os = "linux")]
mod derived;
#[cfg(target_os = "linux")]
mod disk;
#[cfg(target_os = "linux")]
mod faults;
#[cfg(target_os = "linux")]
mod follower;
#[cfg(target_os = "linux")]
mod found;
#[cfg(target_os = "linux")]
mod history;
#[cfg(target_os = "linux")]
mod inodes;
#[cfg(target_os = "linux")]
mod life;
#[cfg(target_os = "linux")]
mod log;
#[cfg(target_os = "linux")]
mod logged;
#[cfg(target_os = "linux")]
mod machine;
#[cfg(target_os = "linux")]
mod names;
#[cfg(target_os = "linux")]
mod opening;
#[cfg(target_os = "linux")]
mod operation;
#[cfg(target_os = "linux")]
mod perform;
#[cfg(target_os = "linux")]
mod random;
#[cfg(target_os = "linux")]
mod reader;
#[cfg(target_os = "linux")]
mod reading;
#[cfg(target_os = "linux")]
mod runner;
#[cfg(target_os = "linux")]
mod scenario;
#[cfg(target_os = "linux")]
mod shrink;
#[cfg(target_os = "linux")]
mod tally;
#[cfg(target_os = "linux")]
mod world;

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    return runner::run(std::env::args().skip(1));
    #[cfg(not(target_os = "linux"))]
    {
        eprintln!("the machine that is simulated is one of Linux");
        ExitCode::FAILURE
    }
}
