//! An open file of this machine.

use std::{
    fs::File,
    io::{self, ErrorKind},
    path::PathBuf,
};

use super::system;
use crate::{entry::FileStamp, error::DiskError, verbs::DiskFile};

/// An open file of this machine.
#[derive(Debug)]
pub struct RealFile {
    file: File,
    shown: PathBuf,
}

impl RealFile {
    pub(super) const fn new(file: File, shown: PathBuf) -> Self {
        Self { file, shown }
    }

    pub(crate) const fn std(&self) -> &File {
        &self.file
    }

    fn told<T>(&self, verb: &'static str, result: io::Result<T>) -> Result<T, DiskError> {
        result.map_err(|source| DiskError::new(verb, &self.shown, source))
    }
}

impl DiskFile for RealFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, DiskError> {
        let mut done = 0;
        while done < buffer.len() {
            match system::read_at(&self.file, &mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return self.told("read", Err(error)),
            }
        }
        Ok(done)
    }

    fn write_all_at(&self, data: &[u8], offset: u64) -> Result<(), DiskError> {
        let mut done = 0;
        while done < data.len() {
            match system::write_at(&self.file, &data[done..], offset + done as u64) {
                Ok(0) => return self.told("write", Err(ErrorKind::WriteZero.into())),
                Ok(written) => done += written,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return self.told("write", Err(error)),
            }
        }
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> Result<(), DiskError> {
        self.told("set the length of", self.file.set_len(bytes))
    }

    fn sync(&self) -> Result<(), DiskError> {
        self.told("sync", self.file.sync_all())
    }

    fn stamp(&self) -> Result<FileStamp, DiskError> {
        self.told("look at", system::stamp(&self.file))
    }

    fn share_content_of(&self, other: &Self) -> Result<bool, DiskError> {
        self.told("write", system::share_content(&self.file, &other.file))
    }
}
