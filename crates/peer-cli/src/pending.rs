//! A line that is being carried out.

use std::{future::Future, pin::Pin, time::Duration};

use lanspread_peer::{ErrorCode, Failure, PeerEvent, proto::GameId};
use tokio::time::{Instant, sleep_until};

use crate::{events, grammar::Wait, message::Answer};

/// A question to the peer.
pub(crate) type Call = Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send>>;

/// The same without an answer of its own.
pub(crate) type Act = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;

/// An accepted cancel is done within this, or something is wrong.
const CANCEL_TIMEOUT: Duration = Duration::from_mins(1);

/// A line whose reply is not there yet. Dropping a future of [`Pending::settled`] loses nothing.
pub(crate) struct Pending {
    line: u64,
    word: &'static str,
    kind: Kind,
}

enum Kind {
    /// The peer was asked.
    Call(Call),
    /// `wait`.
    Wait { wait: Wait, until: Instant },
    /// `cancel`: first accepted, then done.
    Cancel {
        game: GameId,
        asking: Option<Act>,
        ended: Option<PeerEvent>,
        until: Instant,
    },
}

impl Pending {
    pub(crate) const fn call(line: u64, word: &'static str, call: Call) -> Self {
        Self {
            line,
            word,
            kind: Kind::Call(call),
        }
    }

    pub(crate) fn wait(line: u64, wait: Wait) -> Self {
        let until = Instant::now() + wait.timeout;
        Self {
            line,
            word: "wait",
            kind: Kind::Wait { wait, until },
        }
    }

    pub(crate) fn cancel(line: u64, game: GameId, asking: Act) -> Self {
        let until = Instant::now() + CANCEL_TIMEOUT;
        let kind = Kind::Cancel {
            game,
            asking: Some(asking),
            ended: None,
            until,
        };
        Self {
            line,
            word: "cancel",
            kind,
        }
    }

    pub(crate) const fn line(&self) -> u64 {
        self.line
    }

    pub(crate) const fn word(&self) -> &'static str {
        self.word
    }

    /// The game that is being cancelled.
    pub(crate) const fn cancelled_game(&self) -> Option<&GameId> {
        match &self.kind {
            Kind::Cancel { game, .. } => Some(game),
            _ => None,
        }
    }

    /// Whether this event is all that it waits for; then nobody else gets the event.
    pub(crate) fn is_waiting_for(&self, event: &PeerEvent) -> bool {
        matches!(&self.kind, Kind::Wait { wait, .. } if events::satisfies(event, wait))
    }

    /// Takes note of an event.
    pub(crate) fn observe(&mut self, event: &PeerEvent) {
        if let Kind::Cancel { game, ended, .. } = &mut self.kind
            && ended.is_none()
            && events::ends_operation_on(event, game.as_str())
        {
            *ended = Some(event.clone());
        }
    }

    /// The reply.
    pub(crate) async fn settled(&mut self) -> Result<Answer, Failure> {
        match &mut self.kind {
            Kind::Call(call) => call.await,
            Kind::Wait { wait, until } => {
                sleep_until(*until).await;
                let about = wait
                    .id
                    .as_ref()
                    .map(|id| format!(" for {id}"))
                    .unwrap_or_default();
                let seconds = wait.timeout.as_secs_f64();
                let message = format!("no {}{about} within {seconds} s", wait.event);
                Err(Failure {
                    code: ErrorCode::Cancelled,
                    message,
                })
            }
            Kind::Cancel {
                game,
                asking,
                ended,
                until,
            } => {
                if let Some(act) = asking {
                    let accepted = act.await;
                    *asking = None;
                    accepted?;
                }
                if let Some(event) = ended.take() {
                    return cancelled(game, event);
                }
                sleep_until(*until).await;
                let message = format!("{game} was told to stop and has not yet");
                Err(Failure {
                    code: ErrorCode::Internal,
                    message,
                })
            }
        }
    }
}

/// An operation that came to its end by itself just before was not cancelled.
fn cancelled(game: &GameId, event: PeerEvent) -> Result<Answer, Failure> {
    match event {
        PeerEvent::DownloadGameFilesFinished(_)
        | PeerEvent::InstallGameFinished(_)
        | PeerEvent::UninstallGameFinished { .. }
        | PeerEvent::VerifyFinished(_)
        | PeerEvent::Removed { .. } => Err(Failure {
            code: ErrorCode::BadInput,
            message: format!("{game} was finished before it could be cancelled"),
        }),
        event => Ok(Answer::Event(Box::new(event))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;

    fn cancel(asking: Result<(), Failure>) -> Pending {
        Pending::cancel(1, samples::game(), Box::pin(async move { asking }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_with_its_time() {
        let wait = Wait {
            event: "removed",
            id: Some("x".into()),
            timeout: Duration::from_millis(1500),
        };
        let failure = Pending::wait(1, wait).settled().await.unwrap_err();
        assert_eq!(failure.code, ErrorCode::Cancelled);
        assert_eq!(failure.message, "no removed for x within 1.5 s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancel_is_answered_after_the_event_whichever_comes_first() {
        let event = PeerEvent::DownloadGameFilesCancelled {
            game: samples::game(),
            streamed: false,
        };
        let answer = Ok(Answer::Event(Box::new(event.clone())));

        let mut early = cancel(Ok(()));
        early.observe(&event);
        assert_eq!(early.settled().await, answer);

        let mut late = cancel(Ok(()));
        let first = tokio::time::timeout(Duration::from_secs(1), late.settled()).await;
        assert!(first.is_err(), "answered before it was done");
        late.observe(&event);
        assert_eq!(late.settled().await, answer);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancel_that_is_refused_or_too_late_fails() {
        let refused = cancel(Err(samples::failure())).settled().await;
        assert_eq!(refused, Err(samples::failure()));

        let mut late = cancel(Ok(()));
        late.observe(&PeerEvent::DownloadGameFilesFinished(samples::summary()));
        assert!(late.settled().await.is_err());

        let never = cancel(Ok(())).settled().await.unwrap_err();
        assert_eq!(never.code, ErrorCode::Internal);
    }
}
