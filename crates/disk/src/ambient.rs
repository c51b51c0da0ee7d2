//! The few files that a person names by a path of the whole machine: a catalog, a settings file, a
//! party's certificates. Links in such a path are the user's own and are followed.

use std::{
    io::{ErrorKind, Read},
    path::Path,
};

use cap_std::{ambient_authority, fs::File};

use crate::error::DiskError;

/// The content of a file of at most `bytes_max`; a longer one is an error of kind `FileTooLarge`.
pub fn read_file(path: &Path, bytes_max: u64) -> Result<Vec<u8>, DiskError> {
    let read = || {
        let file = File::open_ambient(path, ambient_authority())?;
        let mut content = Vec::new();
        file.take(bytes_max.saturating_add(1))
            .read_to_end(&mut content)?;
        if content.len() as u64 > bytes_max {
            return Err(ErrorKind::FileTooLarge.into());
        }
        Ok(content)
    };
    read().map_err(|source| DiskError::new("read", path, source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FileMode, RealDisk, verbs::Disk};

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let dir = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(dir.path()).unwrap();
        disk.write_atomic("x", b"12345", FileMode::Plain).unwrap();
        let path = dir.path().join("x");
        assert_eq!(read_file(&path, 5).unwrap(), b"12345");
        let error = read_file(&path, 4).unwrap_err();
        assert_eq!(error.source.kind(), ErrorKind::FileTooLarge);
        assert!(
            read_file(&dir.path().join("y"), 4)
                .unwrap_err()
                .is_not_found()
        );
    }
}
