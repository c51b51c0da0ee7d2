//! Long-lived tasks that are restarted when they fail.

use std::{fmt::Display, future::Future, time::Duration};

use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::event::{Events, PeerEvent};

/// The first pause before a restart; each further one is twice as long.
const BACK_OFF_MIN: Duration = Duration::from_millis(200);

/// The longest pause.
const BACK_OFF_MAX: Duration = Duration::from_secs(30);

/// A task that ran for this long is healthy: its next failure starts with the shortest pause.
const HEALTHY_AFTER: Duration = Duration::from_mins(1);

/// Runs `body` again and again until `cancel`; each end, by error, panic or return, is told. A body that
/// watches `cancel` itself has `patience` to end in its own way, and is dropped then.
pub(crate) fn supervise<F, T, E>(
    name: &'static str,
    events: Events,
    cancel: CancellationToken,
    patience: Duration,
    mut body: impl FnMut() -> F + Send + 'static,
) -> JoinHandle<()>
where
    F: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: Display + Send + 'static,
{
    let watch = async move {
        let mut pause = BACK_OFF_MIN;
        while !cancel.is_cancelled() {
            let started = Instant::now();
            let mut task = tokio::spawn(body().in_current_span());
            let end = tokio::select! {
                end = &mut task => end,
                () = cancel.cancelled() => {
                    if timeout(patience, &mut task).await.is_err() {
                        task.abort();
                        // Waits until its last destructor has run.
                        let _ = task.await;
                    }
                    return;
                }
            };
            if cancel.is_cancelled() {
                return;
            }
            let message = match end {
                Ok(Ok(_)) => "it ended".to_owned(),
                Ok(Err(error)) => error.to_string(),
                Err(panic) => panic.to_string(),
            };
            tracing::error!(message, "a part of the runtime failed");
            events.tell(PeerEvent::RuntimeFailed {
                task: name.to_owned(),
                message,
            });
            if started.elapsed() > HEALTHY_AFTER {
                pause = BACK_OFF_MIN;
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = cancel.cancelled() => return,
            }
            pause = (pause * 2).min(BACK_OFF_MAX);
        }
    };
    tokio::spawn(watch.instrument(tracing::info_span!("task", name)))
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_failing_task_is_told_and_restarted_until_it_is_cancelled() {
        let events = Events::new();
        let mut told = events.subscribe();
        let cancel = CancellationToken::new();
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = runs.clone();
        let task = supervise("probe", events, cancel.clone(), Duration::ZERO, move || {
            let run = counted.fetch_add(1, Ordering::Relaxed);
            async move {
                assert!(run != 1, "a panic is a failure too");
                Err::<(), _>("no luck")
            }
        });
        for expected in ["no luck", "panicked", "no luck"] {
            let Some(PeerEvent::RuntimeFailed { task, message }) = told.next().await else {
                panic!()
            };
            assert_eq!(task, "probe");
            assert!(message.contains(expected), "{message}");
        }
        cancel.cancel();
        task.await.unwrap();
        assert!(runs.load(Ordering::Relaxed) >= 3);
    }
}
