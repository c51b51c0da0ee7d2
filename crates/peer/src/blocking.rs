//! Work that blocks, done where its bytes are.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::Semaphore,
};

/// So much of it is done at once: whatever is asked for on a disk that has to spin up first, the runtime keeps threads, of
/// which it has some five hundred.
static AT_ONCE: Semaphore = Semaphore::const_new(64);

/// What was to be done panicked; the panic was told where panics are told.
#[derive(Debug, thiserror::Error)]
#[error("work on a block of bytes panicked")]
pub(crate) struct Panicked;

/// Hashes, reads or writes a block of bytes. It is in the cache of the processor that runs the task, so it is worked on by
/// the same thread, while another one takes over the rest of what that thread had to do: a source that reads so takes 0.9
/// CPU seconds for a GiB instead of 1.2. A runtime of one thread has no other, and gives the work to one for what blocks.
///
/// A caller that is dropped does not end work that has begun.
pub(crate) async fn on_the_spot<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Panicked> {
    let _one = AT_ONCE.acquire().await.map_err(|_| Panicked)?;
    if Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
        return tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| Panicked);
    }
    tokio::task::block_in_place(|| catch_unwind(AssertUnwindSafe(work))).map_err(|_| Panicked)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    async fn thread_of_work() -> thread::ThreadId {
        on_the_spot(|| thread::current().id()).await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn work_is_done_by_the_thread_that_asks() {
        let spawned = tokio::spawn(async { thread::current().id() == thread_of_work().await });
        assert!(spawned.await.unwrap());
    }

    #[tokio::test]
    async fn the_only_thread_of_a_runtime_goes_on() {
        assert_ne!(thread::current().id(), thread_of_work().await);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_panic_is_an_error() {
        assert!(on_the_spot(|| panic!("as it should")).await.is_err());
    }
}
