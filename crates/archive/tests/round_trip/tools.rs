//! Ways to pack a folder, each with a real tool.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

/// A file's name and the shell command that packs the current folder into `$OUT`.
pub(crate) type Recipe = (&'static str, &'static str);

pub(crate) const ZIP: [Recipe; 8] = [
    ("7z.zip", "7z a -tzip -bso0 -bsp0 \"$OUT\" ."),
    (
        "7z-deflate64.zip",
        "7z a -tzip -mm=Deflate64 -bso0 -bsp0 \"$OUT\" .",
    ),
    (
        "7z-bzip2.zip",
        "7z a -tzip -mm=BZip2 -bso0 -bsp0 \"$OUT\" .",
    ),
    ("7z-lzma.zip", "7z a -tzip -mm=LZMA -bso0 -bsp0 \"$OUT\" ."),
    ("python.zip", "python3 -m zipfile -c \"$OUT\" *"),
    (
        "python-stored.zip",
        "python3 -c 'import os, zipfile; z = zipfile.ZipFile(os.environ[\"OUT\"], \"w\")
for folder, _, files in os.walk(\".\"):
    for name in [\"\"] + files:
        z.write(os.path.join(folder, name))
z.close()'",
    ),
    // A stream: sizes come after the data, and in zip64's form.
    ("bsdtar.zip", "bsdtar -cf - --format zip * > \"$OUT\""),
    (
        "bsdtar-stored.zip",
        "bsdtar -cf \"$OUT\" --format zip --options zip:compression=store *",
    ),
];

pub(crate) const SEVEN_Z: [Recipe; 6] = [
    ("lzma2.7z", "7z a -bso0 -bsp0 -mx=1 \"$OUT\" ."),
    (
        "lzma2-not-solid.7z",
        "7z a -bso0 -bsp0 -mx=1 -ms=off \"$OUT\" .",
    ),
    (
        "lzma-bcj2.7z",
        "7z a -bso0 -bsp0 -mx=1 -m0=BCJ2 -m1=LZMA -m2=LZMA -m3=LZMA -mb0:1 -mb0s1:2 -mb0s2:3 \"$OUT\" .",
    ),
    ("ppmd.7z", "7z a -bso0 -bsp0 -m0=PPMd:mem=16m \"$OUT\" ."),
    (
        "bzip2-plain-index.7z",
        "7z a -bso0 -bsp0 -mx=1 -m0=BZip2 -mhc=off \"$OUT\" .",
    ),
    ("bsdtar.7z", "bsdtar -cf \"$OUT\" --format 7zip *"),
];

pub(crate) const TAR: [Recipe; 9] = [
    ("gnu.tar", "tar cf \"$OUT\" ."),
    ("posix.tar", "tar cf \"$OUT\" --format=posix *"),
    ("bsdtar-pax.tar", "bsdtar -cf \"$OUT\" --format pax ."),
    (
        "python-gnu.tar",
        "python3 -c 'import os, tarfile; t = tarfile.open(os.environ[\"OUT\"], \"w\", format=tarfile.GNU_FORMAT); t.add(\".\"); t.close()'",
    ),
    ("gnu.tar.zst", "tar c . | zstd -q -o \"$OUT\""),
    (
        "long-window.tar.zst",
        "tar c . | zstd -q -3 --long=27 -o \"$OUT\"",
    ),
    ("gnu.tar.gz", "tar czf \"$OUT\" ."),
    (
        "gnu.tar.xz",
        "tar c . | xz -1 -T2 --block-size=4MiB > \"$OUT\"",
    ),
    ("sums.tar.xz", "tar c . | xz -1 --check=sha256 > \"$OUT\""),
];

/// Packs a folder; the archive's size tells that something is in it.
///
/// # Panics
/// When the tool is missing or fails.
pub(crate) fn pack(folder: &Path, command: &str, out: &Path) {
    let output = Command::new("bash")
        .args(["-c", &format!("set -o pipefail; {command}")])
        .env("OUT", out)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{command}: {}{}\nIf a tool is missing, run scripts/install_test_tools.sh.",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(fs::metadata(out).unwrap().len() > 0, "{command}");
}
