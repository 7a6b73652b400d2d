//! `embedded-db-server PATH`: a database over HTTP in a program of its own, without models: texts are embedded
//! where Python is, by `embedded-db serve`.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use embedded_db_engine::common::log::{self, Level};
use embedded_db_engine::common::trace::Tracing;
use embedded_db_engine::common::{Error, Options as DatabaseOptions, Result};
use embedded_db_engine::{Database, read_file, watch_panics};
use embedded_db_server::{EXPLORER_FILES, Options, Server, Tokens, address, json_line};

const USAGE: &str = "\
usage: embedded-db-server PATH [--host 127.0.0.1] [--port 8080] [--tokens FILE]
                          [--allow-host NAME]... [--allow-origin ORIGIN]... [--read-only] [--shared]
                          [--log-level debug|info|warning|error|none] [--traces http://HOST:4318]
                          [--explorer DIR]
       embedded-db-server --probe HOST:PORT

Serves the database in the directory PATH, which is made when it is missing, until SIGTERM or SIGINT.
The file of tokens has one a line: `read TOKEN` or `write TOKEN`, and names of namespaces if it is for
these only. Without tokens only this machine is served. What happens is written to the standard error as
JSON, a line each, from `warning` on unless another level is given; --traces names a collector of
OpenTelemetry. The files in DIR, as `make explorer` makes them, are the page of the Explorer.

With --probe it asks the server at an address whether it is ready: it ends with 0 if so, else with 1.";

/// How long a probe waits, for the connection and for the answer.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Default)]
struct Arguments {
    path: Option<PathBuf>,
    host: Option<String>,
    port: Option<u16>,
    tokens: Option<PathBuf>,
    hosts: Vec<String>,
    origins: Vec<String>,
    explorer: Option<PathBuf>,
    read_only: bool,
    shared: bool,
    log_level: Option<String>,
    traces: Option<String>,
}

/// What the command line says; `None` for one that is wrong.
fn arguments(given: impl IntoIterator<Item = OsString>) -> Option<Arguments> {
    let (mut out, mut given) = (Arguments::default(), given.into_iter());
    while let Some(word) = given.next() {
        let mut text = || given.next()?.into_string().ok();
        match word.to_str() {
            Some("--host") => out.host = Some(text()?),
            Some("--port") => out.port = Some(text()?.parse().ok()?),
            Some("--tokens") => out.tokens = Some(given.next()?.into()),
            Some("--allow-host") => out.hosts.push(text()?),
            Some("--allow-origin") => out.origins.push(text()?),
            Some("--explorer") => out.explorer = Some(given.next()?.into()),
            Some("--read-only") => out.read_only = true,
            Some("--shared") => out.shared = true,
            Some("--log-level") => out.log_level = Some(text()?),
            Some("--traces") => out.traces = Some(text()?),
            Some(option) if option.starts_with('-') => return None,
            _ if out.path.is_some() => return None,
            _ => out.path = Some(word.into()),
        }
    }
    out.path.is_some().then_some(out)
}

/// Has what happens written to the standard error.
fn write_down(level: Option<&str>) -> Result<()> {
    let wrong =
        |level| Error::InvalidInput(format!("{level:?} is no level of the log; use warning"));
    let level = match level {
        Some("none") => None,
        Some(level) => Some(Level::parse(level).ok_or_else(|| wrong(level))?),
        None => Some(Level::Warning),
    };
    log::install(Box::new(|record| eprintln!("{}", json_line(&record))));
    log::set_level(level);
    Ok(())
}

fn start(given: Arguments) -> Result<(Database, Server)> {
    write_down(given.log_level.as_deref())?;
    let address =
        address(given.host.as_deref().unwrap_or("127.0.0.1"), given.port.unwrap_or(8080))?;
    let mut options = Options::new(address);
    (options.hosts, options.origins) = (given.hosts, given.origins);
    if let Some(path) = given.tokens {
        let text = String::from_utf8(read_file(&path)?);
        let odd = |_| Error::InvalidInput(format!("the tokens in {path:?} are not UTF-8"));
        options.tokens = Tokens::parse(&text.map_err(odd)?)?;
        if options.tokens.is_empty() {
            return Err(Error::InvalidInput(Tokens::NONE.to_owned()));
        }
    }
    if let Some(folder) = given.explorer {
        for name in EXPLORER_FILES {
            options.explorer.insert(name.into(), read_file(&folder.join(name))?);
        }
    }
    let tracing = given.traces.map(|endpoint| Tracing { endpoint, ..Tracing::default() });
    let opening = DatabaseOptions {
        read_only: given.read_only,
        shared: given.shared,
        tracing,
        ..DatabaseOptions::default()
    };
    let database = Database::open(given.path.unwrap_or_default(), &opening, None)?;
    let server = Server::start(database.clone(), options)?;
    Ok((database, server))
}

/// Waits for the first signal to end; with the second it ends at once.
fn wait() -> std::io::Result<()> {
    let waiting = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    waiting.block_on(signalled())?;
    std::thread::spawn(move || {
        if waiting.block_on(signalled()).is_ok() {
            std::process::exit(130);
        }
    });
    Ok(())
}

#[cfg(unix)]
async fn signalled() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut end, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = end.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

#[cfg(not(unix))]
async fn signalled() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}

/// Asks a server whether it is ready.
fn probe(address: &str) -> io::Result<()> {
    let at = address.to_socket_addrs()?.next().ok_or_else(|| io::Error::other("no address"))?;
    let mut stream = TcpStream::connect_timeout(&at, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // At once: a server may answer and close behind the first part of it.
    let asked = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(asked.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(10_000).read_to_end(&mut answer)?;
    if answer.starts_with(b"HTTP/1.1 200 ") {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&answer).lines().last().unwrap_or("no answer")))
}

fn main() -> ExitCode {
    watch_panics();
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let [option, address] = &words[..]
        && option == "--probe"
    {
        return match probe(&address.to_string_lossy()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{}: {error}", address.display());
                ExitCode::FAILURE
            }
        };
    }
    let Some(given) = arguments(words) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let (database, server) = match start(given) {
        Ok(started) => started,
        Err(error) => {
            eprintln!("{}: {error}", error.code());
            return ExitCode::FAILURE;
        }
    };
    eprintln!("serving {} on http://{}", database.path().display(), server.address());
    let waited = wait();
    server.stop();
    database.close();
    match waited {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("signals cannot be waited for: {error}");
            ExitCode::FAILURE
        }
    }
}
