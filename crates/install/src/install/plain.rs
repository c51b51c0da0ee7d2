//! I4 for a plain tree: the payload itself becomes the installed game.

use lanspread_disk::{Disk, DiskError, DiskFile};

use super::{
    ContentFault, InstallError, InstallTransaction,
    payload::{PayloadFile, payload},
};
use crate::unpack::{StagedFile, Staging, Totals};

/// Bytes that are copied at once: few enough that a cancel is noticed at once.
const PIECE_BYTES: usize = 1024 * 1024;

/// How the files before went.
struct Copying {
    buffer: Vec<u8>,
    bytes_left: u64,
    /// Whether the file system turned out not to share content; it is not asked again.
    is_copied: bool,
}

impl<D: Disk> InstallTransaction<D> {
    /// Shares or copies every file of the payload. Its bytes were verified when they were downloaded;
    /// what is checked here is that nobody writes to them meanwhile.
    pub(super) fn copy_payload(&self) -> Result<(), InstallError> {
        let payload = payload(self.disk.as_ref(), &self.state, &self.root)?;
        if payload.files.is_empty() && payload.empty_folders.is_empty() {
            return Err(InstallError::NothingInside {
                game: self.root.game().clone(),
            });
        }
        let bytes = payload
            .files
            .iter()
            .fold(0, |sum: u64, file| sum.saturating_add(file.bytes));
        self.announce(Totals {
            bytes: Some(bytes),
            files: Some(payload.files.len() as u64),
        });
        for folder in &payload.empty_folders {
            self.create_folder(folder)?;
        }
        let mut copying = Copying {
            buffer: vec![0; PIECE_BYTES],
            bytes_left: bytes,
            is_copied: false,
        };
        payload
            .files
            .iter()
            .try_for_each(|file| self.copy(file, &mut copying))
    }

    fn copy(&self, file: &PayloadFile, copying: &mut Copying) -> Result<(), InstallError> {
        let path = self.root.payload(&file.path);
        let fault = |fault| InstallError::NotInstallable {
            path: self.disk.shown(&path),
            fault,
        };
        let from = self.disk.open_read(&path).map_err(|error| {
            if error.is_not_found() {
                fault(ContentFault::Missing)
            } else {
                DiskError::into(error)
            }
        })?;
        let stamp = from.stamp()?;
        if stamp.size != file.bytes {
            return Err(fault(ContentFault::Size {
                expected_bytes: file.bytes,
                found_bytes: stamp.size,
            }));
        }
        let mut to = self.create(&file.path, file.executable)?;
        if file.bytes > 0 && (copying.is_copied || !to.share(&from, file.bytes)?) {
            if !copying.is_copied {
                // What is shared needs no room; the rest of the payload does.
                self.check_room(copying.bytes_left)?;
                copying.is_copied = true;
            }
            let mut offset = 0;
            while offset < file.bytes {
                let read = from.read_at(&mut copying.buffer, offset)?;
                if read == 0 {
                    return Err(fault(ContentFault::Changed));
                }
                to.write(&copying.buffer[..read])?;
                offset += read as u64;
            }
        }
        copying.bytes_left = copying.bytes_left.saturating_sub(file.bytes);
        if from.stamp()? != stamp {
            return Err(fault(ContentFault::Changed));
        }
        Ok(Box::new(to).finish()?)
    }
}
