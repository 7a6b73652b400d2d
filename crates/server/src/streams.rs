//! WebSockets: what is stored, and what the weaver does.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use embedded_db_engine::Database;
use embedded_db_engine::common::Result;
use tokio::sync::{OwnedSemaphorePermit, broadcast, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};

use crate::feeds::Batch;
use crate::figures::Held;
use crate::shared::Shared;

/// A follower has nothing to say: more than so many frames between two pings are too many.
const FRAMES: u32 = 100;
/// Bytes of a frame that comes in.
const FRAME: usize = 64 << 10;
/// Bytes of the buffers of a connection, of which there may be ten thousand.
const BUFFER: usize = 2 << 10;
/// How long one text may take to be sent.
const SEND: Duration = Duration::from_secs(10);

/// How a stream ends.
struct End(u16, &'static str);

const GONE: End = End(close_code::AWAY, "");
const SLOW: End =
    End(close_code::AGAIN, "too slow: connect again, from the last change that is known");
const TALKS: End = End(close_code::POLICY, "too many frames");
const SILENT: End = End(close_code::POLICY, "pings were not answered");
const STOPS: End = End(close_code::AWAY, "the server stops");
const ODD: End = End(close_code::SIZE, "a frame is malformed or too large");
const FAILED: End = End(close_code::ERROR, "there is nothing to follow any more");

/// Becomes a WebSocket that `run` serves.
fn upgraded<F: Future<Output = ()> + Send + 'static>(
    upgrade: WebSocketUpgrade,
    shared: Arc<Shared>,
    permit: OwnedSemaphorePermit,
    run: impl FnOnce(Stream) -> F + Send + 'static,
) -> Response {
    upgrade
        .read_buffer_size(BUFFER)
        .write_buffer_size(0)
        .max_message_size(FRAME)
        .max_frame_size(FRAME)
        // A browser wants one of those that it offers, and one that holds a token is not said again.
        .protocols(["embedded-db"])
        .on_upgrade(move |socket| async move {
            let _permit = permit;
            let counted = Arc::clone(&shared);
            let _held = Held::new(&counted.figures.streams);
            run(Stream::new(socket, &shared)).await;
        })
}

/// Follows the changes behind `position`; those up to `position` are known.
pub(crate) fn changes(
    upgrade: WebSocketUpgrade,
    shared: Arc<Shared>,
    permit: OwnedSemaphorePermit,
    follower: Follower,
) -> Response {
    upgraded(upgrade, shared, permit, move |stream| follower.run(stream))
}

/// Tells the status of the weaver when it changes.
pub(crate) fn weaver(
    upgrade: WebSocketUpgrade,
    shared: Arc<Shared>,
    permit: OwnedSemaphorePermit,
    status: watch::Receiver<Utf8Bytes>,
) -> Response {
    upgraded(upgrade, shared, permit, move |mut stream| async move {
        let end = tell(&mut stream, status).await;
        stream.close(end).await;
    })
}

async fn tell(stream: &mut Stream, mut status: watch::Receiver<Utf8Bytes>) -> End {
    status.mark_changed();
    loop {
        let next = tokio::select! {
            changed = status.changed() => match changed {
                Ok(()) => status.borrow_and_update().clone(),
                Err(_) => return FAILED,
            },
            end = stream.tend() => return end,
        };
        if let Err(end) = stream.send(Message::Text(next)).await {
            return end;
        }
    }
}

/// Who follows the changes of a namespace.
pub(crate) struct Follower {
    pub(crate) db: Database,
    pub(crate) labels: Vec<String>,
    /// All changes up to this one are known.
    pub(crate) position: u64,
    pub(crate) next: broadcast::Receiver<Arc<Batch>>,
}

impl Follower {
    async fn run(mut self, mut stream: Stream) {
        let end = match self.catch_up(&mut stream).await {
            Ok(()) => self.follow(&mut stream).await,
            Err(end) => end,
        };
        stream.close(end).await;
    }

    /// Sends what was stored before it came.
    async fn catch_up(&mut self, stream: &mut Stream) -> std::result::Result<(), End> {
        loop {
            let (page, last) = self.page().map_err(|_| FAILED)?;
            if let Some(text) = page.behind(self.position, &self.labels) {
                stream.send(Message::Text(text)).await?;
            }
            self.position = page.reached;
            if page.reached >= last {
                return Ok(());
            }
        }
    }

    fn page(&self) -> Result<(Batch, u64)> {
        let page = self.db.changes_after(Some(self.position), None)?;
        Ok((Batch::new(self.position, page.reached, page.changes), page.last))
    }

    async fn follow(&mut self, stream: &mut Stream) -> End {
        loop {
            let next = tokio::select! {
                next = self.next.recv() => next,
                end = stream.tend() => return end,
            };
            let batch = match next {
                Ok(batch) => batch,
                Err(broadcast::error::RecvError::Lagged(_)) => return SLOW,
                Err(broadcast::error::RecvError::Closed) => return FAILED,
            };
            if let Some(text) = batch.behind(self.position, &self.labels)
                && let Err(end) = stream.send(Message::Text(text)).await
            {
                return end;
            }
            self.position = self.position.max(batch.reached);
        }
    }
}

/// A WebSocket with what keeps it alive, or ends it.
struct Stream {
    socket: WebSocket,
    ping: Interval,
    /// Pings that were not answered.
    unanswered: u32,
    /// Frames since the last ping.
    frames: u32,
    stop: watch::Receiver<bool>,
}

impl Stream {
    fn new(socket: WebSocket, shared: &Shared) -> Self {
        let every = shared.options.limits.ping;
        let mut ping = interval_at(Instant::now() + every, every);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { socket, ping, unanswered: 0, frames: 0, stop: shared.stop.subscribe() }
    }

    /// Answers and asks, until there is a reason to end. Nothing is lost when it is dropped in between.
    async fn tend(&mut self) -> End {
        loop {
            let frame = tokio::select! {
                _ = self.stop.wait_for(|stops| *stops) => return STOPS,
                _ = self.ping.tick() => None,
                frame = self.socket.recv() => Some(frame),
            };
            match frame {
                None if self.unanswered >= 2 => return SILENT,
                None => {
                    self.unanswered += 1;
                    self.frames = 0;
                    if self.send(Message::Ping(Bytes::new())).await.is_err() {
                        return GONE;
                    }
                }
                Some(None | Some(Ok(Message::Close(_)))) => return GONE,
                Some(Some(Err(_))) => return ODD,
                Some(Some(Ok(frame))) => {
                    if matches!(frame, Message::Pong(_)) {
                        self.unanswered = 0;
                    }
                    self.frames += 1;
                    if self.frames > FRAMES {
                        return TALKS;
                    }
                }
            }
        }
    }

    async fn send(&mut self, message: Message) -> std::result::Result<(), End> {
        match timeout(SEND, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(GONE),
            Err(_) => Err(SLOW),
        }
    }

    async fn close(mut self, end: End) {
        let frame = CloseFrame { code: end.0, reason: end.1.into() };
        // Whoever does not read does not get it.
        let _sent =
            timeout(Duration::from_secs(1), self.socket.send(Message::Close(Some(frame)))).await;
    }
}
