//! What decoding costs by itself: `cargo run --release --example decode_speed -- ARCHIVE`.
//!
//! Reads every entry of a `.zip`, `.tar.zst` or `.rar` once with the library that an install uses, throws
//! the bytes away, and prints how many there were and the seconds, as one line of JSON.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measurement reads a file of its own and prints what it found"
)]

#[cfg(feature = "rar")]
use std::{
    cell::Cell,
    io::{self, Write},
    rc::Rc,
};
use std::{
    error::Error,
    fs::File,
    io::{BufReader, Read},
    path::{Path, PathBuf},
    time::Instant,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What an install reads at once.
const PIECE_BYTES: usize = 256 * 1024;

fn main() -> Result<()> {
    let path = std::env::args_os().nth(1).map(PathBuf::from);
    let path = path.ok_or("decode_speed ARCHIVE")?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let decode = if name.ends_with(".zip") {
        zip
    } else if name.ends_with(".tar.zst") {
        tar_zst
    } else if name.ends_with(".rar") {
        rar
    } else {
        return Err(format!("{name} is none of .zip, .tar.zst, .rar").into());
    };
    let begun = Instant::now();
    let bytes = decode(&path)?;
    let seconds = begun.elapsed().as_secs_f64();
    println!(r#"{{"bytes":{bytes},"seconds":{seconds:.6}}}"#);
    Ok(())
}

fn zip(path: &Path) -> Result<u64> {
    let mut archive = zip::ZipArchive::new(BufReader::new(File::open(path)?))?;
    let mut piece = vec![0; PIECE_BYTES];
    (0..archive.len())
        .map(|index| read_all(archive.by_index(index)?, &mut piece))
        .sum()
}

fn tar_zst(path: &Path) -> Result<u64> {
    let mut archive = tar::Archive::new(zstd::Decoder::new(File::open(path)?)?);
    let mut piece = vec![0; PIECE_BYTES];
    archive
        .entries()?
        .map(|entry| read_all(entry?, &mut piece))
        .sum()
}

#[cfg(feature = "rar")]
fn rar(path: &Path) -> Result<u64> {
    let options = rars::ArchiveReadOptions::new().with_rar50_buffered_decode_limit(16 << 20);
    let archive = rars::ArchiveReader::read_path(path)?;
    let count = Count::default();
    archive.extract_to_with_options(options, |_| Ok(Box::new(count.clone())))?;
    Ok(count.0.get())
}

/// Counts what is written to any of its clones.
#[cfg(feature = "rar")]
#[derive(Clone, Default)]
struct Count(Rc<Cell<u64>>);

#[cfg(feature = "rar")]
impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.set(self.0.get() + bytes.len() as u64);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(not(feature = "rar"))]
fn rar(_path: &Path) -> Result<u64> {
    Err("built without RAR".into())
}

/// Reads to the end, where a library compares checksums.
fn read_all(mut entry: impl Read, piece: &mut [u8]) -> Result<u64> {
    let mut bytes = 0;
    loop {
        match entry.read(piece)? {
            0 => return Ok(bytes),
            count => bytes += count as u64,
        }
    }
}
