//! An unpacker for tests: an archive is a list of entries in a text of its own.

use lanspread_disk::{Disk, DiskFile, FileMode};
use lanspread_install::{ArchiveFile, Staging, StagingError, Totals, UnpackError, Unpacker};
use std::io::Read;

use crate::support::{Machine, game, is_executable};

const MAGIC: &str = "an archive\n";

/// One line per entry: its path, a colon, its content; a path that ends in `/` is a folder, one that
/// ends in `.exe` can be run. A line `!` is damage.
pub(crate) fn archive(entries: &[(&str, &str)]) -> Vec<u8> {
    let lines: Vec<String> = entries
        .iter()
        .map(|(path, content)| format!("{path}:{content}\n"))
        .collect();
    format!("{MAGIC}{}", lines.concat()).into_bytes()
}

pub(crate) struct TextUnpacker {
    /// Whether it says before what will come.
    pub(crate) tells_totals: bool,
}

impl Unpacker for TextUnpacker {
    fn recognises(&self, archive: &ArchiveFile) -> Result<bool, UnpackError> {
        Ok(text(archive)?.starts_with(MAGIC))
    }

    fn unpack(&self, archives: &[ArchiveFile], staging: &dyn Staging) -> Result<(), UnpackError> {
        let texts: Vec<String> = archives.iter().map(text).collect::<Result<_, _>>()?;
        let lines = || texts.iter().flat_map(|text| text.lines().skip(1));
        let mut totals = Totals::default();
        if self.tells_totals {
            let files = lines().filter_map(|line| line.split_once(':'));
            let files: Vec<_> = files.filter(|(path, _)| !path.ends_with('/')).collect();
            totals.files = Some(files.len() as u64);
            totals.bytes = Some(files.iter().map(|(_, content)| content.len() as u64).sum());
        }
        staging.expect(totals)?;
        for line in lines() {
            let Some((path, content)) = line.split_once(':') else {
                return Err(UnpackError::Damaged {
                    archive: archives[0].path().to_owned(),
                    entry: None,
                    source: "a damaged line".into(),
                });
            };
            entry(staging, path, content)?;
        }
        Ok(())
    }
}

/// Hands these entries to a staging folder, without an archive.
pub(crate) fn hand_over(
    staging: &dyn Staging,
    entries: &[(&str, &str)],
) -> Result<(), StagingError> {
    staging.expect(Totals::default())?;
    entries
        .iter()
        .try_for_each(|(path, content)| entry(staging, path, content))
}

pub(crate) fn entry(staging: &dyn Staging, path: &str, content: &str) -> Result<(), StagingError> {
    if let Some(folder) = path.strip_suffix('/') {
        return staging.create_folder(&folder.parse().unwrap());
    }
    let mut file = staging.create_file(&path.parse().unwrap(), is_executable(path))?;
    // Two pieces, so that a crash can fall between them.
    let (start, end) = content.as_bytes().split_at(content.len() / 2);
    file.write(start)?;
    file.write(end)?;
    file.finish()
}

pub(crate) fn text(archive: &ArchiveFile) -> Result<String, UnpackError> {
    let mut text = String::new();
    match archive.reader().read_to_string(&mut text) {
        Ok(_) => Ok(text),
        Err(source) => Err(UnpackError::Read {
            archive: archive.path().to_owned(),
            source: source.into(),
        }),
    }
}

impl<D: Disk> Machine<D> {
    /// Puts a game there that is complete as it lies, without any record of a download.
    pub(crate) fn put(&self, version: &str, files: &[(&str, &[u8])]) {
        let write = |path: &str, content: &[u8]| {
            let path = format!("{}/{path}", game());
            let folder = path.rsplit_once('/').unwrap().0;
            self.disk.create_folders_synced(folder).unwrap();
            self.disk.remove_tree(&path).unwrap();
            let file = self.disk.create_new(&path, FileMode::Plain).unwrap();
            file.write_all_at(content, 0).unwrap();
            file.sync().unwrap();
            self.disk.sync_folder(folder).unwrap();
        };
        for (path, content) in files {
            write(path, content);
        }
        write("version.ini", format!("{version}\n").as_bytes());
    }

    /// The same with one archive of these entries.
    pub(crate) fn put_archive(&self, version: &str, entries: &[(&str, &str)]) {
        self.put(version, &[("game.eti", &archive(entries))]);
    }
}
