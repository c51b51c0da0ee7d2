//! Memory for payload on its way: bounded over all transfers, and used again instead of given back.
//!
//! A gigabyte goes through a thousand buffers of a chunk. Were each made anew, the system would have to find, clear and
//! map its pages every time, which costs as much as encrypting what is in them.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What one permit stands for.
const UNIT_BYTES: usize = 64 * 1024;

/// Buffers that are kept for the next transfer.
const KEPT_MAX: usize = 16;

/// Buffers of one size, of which there is only so much. A cheap handle.
#[derive(Debug, Clone)]
pub(crate) struct Buffers(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    /// The length of each buffer in bytes.
    size: usize,
    room: Arc<Semaphore>,
    kept: Mutex<Vec<Vec<u8>>>,
}

/// One buffer; its bytes are whatever they were before. Dropped, it is there for somebody else.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    used: usize,
    pool: Arc<Pool>,
}

/// A part of the room that is taken; dropped, it is free.
#[derive(Debug)]
#[must_use = "the room is taken only while this lives"]
pub(crate) struct Room(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl Buffers {
    /// Buffers of `size` bytes, and room for `total` bytes over all that are in use.
    pub(crate) fn new(size: usize, total: u64) -> Self {
        let units = usize::try_from(total).unwrap_or(usize::MAX) / UNIT_BYTES;
        Self(Arc::new(Pool {
            size,
            room: Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS))),
            kept: Mutex::default(),
        }))
    }

    /// Waits until there is room for so many bytes.
    pub(crate) async fn room(&self, bytes: usize) -> Room {
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX);
        let room = self.0.room.clone().acquire_many_owned(units).await;
        Room(room.expect("the semaphore is never closed"))
    }

    /// A buffer for `bytes` bytes. One that would be mostly empty is made to measure.
    pub(crate) fn buffer(&self, bytes: usize) -> Buffer {
        let kept = (bytes > self.0.size / 2 && bytes <= self.0.size)
            .then(|| self.0.kept().pop().unwrap_or_else(|| vec![0; self.0.size]));
        Buffer {
            bytes: kept.unwrap_or_else(|| vec![0; bytes]),
            used: bytes,
            pool: self.0.clone(),
        }
    }
}

impl Pool {
    fn kept(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.used]
    }
}

impl AsMut<[u8]> for Buffer {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.used]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut kept = self.pool.kept();
        if bytes.len() == self.pool.size && kept.len() < KEPT_MAX {
            kept.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_and_one_made_to_measure_is_not() {
        let buffers = Buffers::new(100, 1_000_000);
        let mut buffer = buffers.buffer(80);
        buffer.as_mut().fill(7);
        let place = buffer.as_ref().as_ptr();
        drop(buffer);
        assert_eq!(buffers.buffer(10).as_ref(), [0; 10]);
        assert_eq!(buffers.buffer(200).as_ref().len(), 200);
        let again = buffers.buffer(60);
        assert_eq!(
            (again.as_ref().as_ptr(), again.as_ref()),
            (place, &[7; 60][..])
        );
    }

    #[test]
    fn only_so_many_are_kept() {
        let buffers = Buffers::new(100, 1_000_000);
        let many: Vec<Buffer> = (0..KEPT_MAX * 2).map(|_| buffers.buffer(100)).collect();
        drop(many);
        assert_eq!(buffers.0.kept().len(), KEPT_MAX);
    }

    #[tokio::test]
    async fn there_is_only_so_much_room() {
        let buffers = Buffers::new(UNIT_BYTES, 3 * UNIT_BYTES as u64);
        let two = buffers.room(UNIT_BYTES + 1).await;
        let one = buffers.room(1).await;
        let waiting = buffers.room(UNIT_BYTES);
        tokio::pin!(waiting);
        assert!(look_once(&mut waiting).is_none());
        drop(one);
        let _third = waiting.await;
        drop(two);
    }

    /// Looks at a future once.
    fn look_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::Pin::new(future).poll(&mut context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        }
    }
}
