//! Measures unpacking into an install's staging folder, durably, against what each decoding library does
//! by itself: `cargo run --release --example unpack_speed -- [MB [RUNS [ARCHIVE]]]`.
//!
//! Makes a mixed tree (small sources, packed textures, one large text) in a temporary folder (`TMPDIR` says
//! on which disk), packs it with real tools, and unpacks each archive in alternating order: by its
//! library's own extraction followed by one `syncfs`, and by an install transaction from its beginning to
//! its durable end. Prints medians, their ratio, and the share of publishing, which is nearly all syncs.
//! Needs room for 12 trees a run, and a disk on which nothing was removed for some minutes.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measurement works on files of its own and prints what it found"
)]

use std::{
    error::Error,
    fs::{self, File},
    io::{BufReader, Read},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use lanspread_archive::ArchiveUnpacker;
use lanspread_disk::{Disk, RealDisk, StateDir};
use lanspread_install::{
    ArchiveFile, InstallControl, InstallRequest, InstallSource, InstallTransaction, Unpacker,
};
use lanspread_testkit::bytes;
use tempfile::TempDir;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A library's own extraction of an archive into a folder.
type Extract = fn(&Path, &Path) -> Result<()>;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| arguments.next().map_or(Ok(default), |text| text.parse());
    let (megabytes, runs) = (number(300)?, number(5)?);
    let only = arguments.next();
    let is_wanted = |name: &str| only.as_ref().is_none_or(|only| only == name);
    let dir = tempfile::tempdir()?;
    let source = dir.path().join("source");
    let files = write_tree(&source, megabytes * 1_000_000)?;
    println!("{files} files, {megabytes} MB, medians of {runs} runs");
    println!(
        "{:<20} {:>9} {:>9} {:>7} {:>12}",
        "archive", "library", "install", "ratio", "publishing"
    );
    for (name, command, extract) in formats() {
        if !is_wanted(name) {
            continue;
        }
        let archive = dir.path().join(name);
        let packed = Command::new("bash")
            .args(["-c", command])
            .env("OUT", &archive)
            .current_dir(&source)
            .status()?;
        if !packed.success() {
            return Err(format!("{command} failed: run scripts/install_test_tools.sh").into());
        }
        measure(&archive, extract, runs)?;
    }
    if is_wanted("stored.rar") {
        measure_rar(&dir, &source, runs)?;
    }
    Ok(())
}

fn formats() -> [(&'static str, &'static str, Extract); 6] {
    [
        (
            "deflate.zip",
            "7z a -tzip -mx=5 -bso0 -bsp0 \"$OUT\" .",
            extract_zip,
        ),
        (
            "stored.zip",
            "7z a -tzip -mx=0 -bso0 -bsp0 \"$OUT\" .",
            extract_zip,
        ),
        (
            "tar.zst",
            "tar c . | zstd -q -3 -o \"$OUT\"",
            extract_tar_zst,
        ),
        ("tar", "tar cf \"$OUT\" .", extract_tar),
        (
            "lzma2.7z",
            "7z a -mx=3 -bso0 -bsp0 \"$OUT\" .",
            extract_seven_z,
        ),
        (
            "lzma2-on-one-core.7z",
            "7z a -mx=3 -bso0 -bsp0 \"$OUT\" .",
            extract_seven_z_on_one_core,
        ),
    ]
}

/// `rars` packs slowly, so this RAR is stored.
#[cfg(feature = "rar")]
fn measure_rar(dir: &TempDir, source: &Path, runs: usize) -> Result<()> {
    let mut builder = rars::Builder::new(rars::ArchiveVersion::Rar50).store(true);
    for entry in fs::read_dir(source)? {
        let entry = entry?;
        builder.add_path(&entry.path(), entry.file_name().as_encoded_bytes())?;
    }
    let archive = dir.path().join("stored.rar");
    builder.write_to_path(&archive, None)?;
    measure(&archive, extract_rar, runs)
}

#[cfg(not(feature = "rar"))]
fn measure_rar(_dir: &TempDir, _source: &Path, _runs: usize) -> Result<()> {
    Ok(())
}

/// Half of it in small sources, the rest in textures that hardly compress and one large text.
fn write_tree(root: &Path, all: usize) -> Result<usize> {
    const SOURCE_BYTES: usize = 50_000;
    const TEXTURE_BYTES: usize = 2_000_000;
    let mut files = 0;
    let mut write = |path: String, content: &[u8]| -> Result<()> {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap_or(root))?;
        files += 1;
        Ok(fs::write(path, content)?)
    };
    for at in 0..all / 2 / SOURCE_BYTES {
        let content = text(&format!("source {at}"), SOURCE_BYTES);
        write(format!("src/{}/{at}.c", at % 200), &content)?;
    }
    for at in 0..all / 4 / TEXTURE_BYTES {
        let content = bytes(&format!("texture {at}"), TEXTURE_BYTES);
        write(format!("textures/{at}.dds"), &content)?;
    }
    write("large.txt".to_owned(), &text("large", all / 4))?;
    Ok(files)
}

/// Words in an order that follows from `seed`.
fn text(seed: &str, count: usize) -> Vec<u8> {
    const WORDS: [&[u8]; 8] = [
        b"int ",
        b"frame",
        b"->",
        b"render(",
        b"texture, ",
        b"0x7f);\n",
        b"    ",
        b"return ",
    ];
    let choices = bytes(seed, count / 4 + 1);
    let words = choices
        .iter()
        .flat_map(|byte| [WORDS[usize::from(byte & 7)], &[b'a' + (byte >> 4)]].concat());
    words.take(count).collect()
}

fn measure(archive: &Path, extract: Extract, runs: usize) -> Result<()> {
    let (mut library, mut install, mut publishing) = (Vec::new(), Vec::new(), Vec::new());
    for run in 0..runs {
        for ours in [run % 2 == 0, run % 2 == 1] {
            // Nobody pays for what another one has left to be written. Nothing is removed before the end:
            // for minutes ext4 steps over every inode that was freed, one by one, at each new file.
            let folder = archive.parent().unwrap_or(Path::new("."));
            let dir = tempfile::Builder::new()
                .disable_cleanup(true)
                .tempdir_in(folder)?;
            sync(dir.path())?;
            if ours {
                let (all, published) = unpack(archive, dir.path())?;
                install.push(all);
                publishing.push(published);
            } else {
                let begun = Instant::now();
                extract(archive, dir.path())?;
                sync(dir.path())?;
                library.push(begun.elapsed());
            }
        }
    }
    let (library, install, publishing) = (median(library), median(install), median(publishing));
    println!(
        "{:<20} {:>7.2} s {:>7.2} s {:>7.2} {:>10.0} %",
        archive.file_name().unwrap_or_default().display(),
        library.as_secs_f64(),
        install.as_secs_f64(),
        library.as_secs_f64() / install.as_secs_f64(),
        100.0 * publishing.as_secs_f64() / install.as_secs_f64(),
    );
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn sync(folder: &Path) -> Result<()> {
    Ok(rustix::fs::syncfs(File::open(folder)?)?)
}

/// An install from its beginning to its durable end, and what publishing took of it.
fn unpack(archive: &Path, dir: &Path) -> Result<(Duration, Duration)> {
    for folder in ["games", "state"] {
        fs::create_dir(dir.join(folder))?;
    }
    let disk = Arc::new(RealDisk::open(&dir.join("games"))?);
    let state = Arc::new(StateDir::open(&dir.join("state"))?);
    let archive = archive_file(archive)?;
    let request = InstallRequest {
        game: "game".parse()?,
        reserve_bytes: Some(0),
    };
    let source = InstallSource::Streamed {
        version: "1".parse()?,
    };
    let begun = Instant::now();
    let control = InstallControl::default();
    let transaction = InstallTransaction::begin(&disk, &state, &request, source, &control)?;
    ArchiveUnpacker::default().unpack(&[archive], &transaction)?;
    let unpacked = Instant::now();
    transaction.publish()?;
    Ok((begun.elapsed(), unpacked.elapsed()))
}

fn archive_file(path: &Path) -> Result<ArchiveFile> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().display().to_string();
    let file = RealDisk::open(folder)?.open_read(&name)?;
    let bytes = fs::metadata(path)?.len();
    let path = PathBuf::from(path);
    Ok(ArchiveFile::new(name.parse()?, path, bytes, Arc::new(file)))
}

// # What the libraries do by themselves

fn extract_zip(archive: &Path, to: &Path) -> Result<()> {
    Ok(zip::ZipArchive::new(BufReader::new(File::open(archive)?))?.extract(to)?)
}

fn extract_tar_zst(archive: &Path, to: &Path) -> Result<()> {
    untar(zstd::Decoder::new(File::open(archive)?)?, to)
}

fn extract_tar(archive: &Path, to: &Path) -> Result<()> {
    untar(BufReader::new(File::open(archive)?), to)
}

fn untar(reader: impl Read, to: &Path) -> Result<()> {
    Ok(tar::Archive::new(reader).unpack(to)?)
}

/// On all cores, for which it holds 673 MB where ours may hold 200.
fn extract_seven_z(archive: &Path, to: &Path) -> Result<()> {
    Ok(sevenz_rust2::decompress_file(archive, to)?)
}

fn extract_seven_z_on_one_core(archive: &Path, to: &Path) -> Result<()> {
    let file = BufReader::new(File::open(archive)?);
    let mut reader = sevenz_rust2::ArchiveReader::new(file, sevenz_rust2::Password::empty())?;
    reader.set_thread_count(1);
    reader.for_each_entries(|entry, content| {
        let path = to.join(entry.name());
        sevenz_rust2::default_entry_extract_fn(entry, content, &path)
    })?;
    Ok(())
}

#[cfg(feature = "rar")]
fn extract_rar(archive: &Path, to: &Path) -> Result<()> {
    let options = rars::ArchiveReadOptions::new().with_rar50_buffered_decode_limit(16 << 20);
    let to = to.to_owned();
    let archive = rars::ArchiveReader::read_path(archive)?;
    archive.extract_to_with_options(options, |member| {
        let path = to.join(member.name_lossy());
        if member.is_directory {
            fs::create_dir_all(path)?;
            return Ok(Box::new(std::io::sink()));
        }
        fs::create_dir_all(path.parent().unwrap_or(&to))?;
        Ok(Box::new(File::create(path)?))
    })?;
    Ok(())
}
