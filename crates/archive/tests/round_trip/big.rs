//! One entry of 3 GiB, past every 32-bit number; run by `just big-archives`.

use std::{
    fs::File,
    io::{BufWriter, Read, Write},
    path::Path,
};

use lanspread_testkit::bytes;

use crate::{
    game::{Machine, text},
    tools::pack,
};

const BIG_BYTES: u64 = 3 << 30;

/// What repeats, with its place written into it, so that nothing can be taken for anything else.
const BLOCK_BYTES: usize = 1 << 20;

fn block(at: u64) -> Vec<u8> {
    let mut block = text(BLOCK_BYTES / 2);
    block.resize(BLOCK_BYTES, 0);
    block[BLOCK_BYTES / 2..].copy_from_slice(&bytes("big", BLOCK_BYTES / 2));
    for place in (0..BLOCK_BYTES - 8).step_by(4096) {
        block[place..place + 8].copy_from_slice(&(at * 31 + place as u64).to_le_bytes());
    }
    block
}

fn write_big(path: &Path) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    for at in 0..BIG_BYTES / BLOCK_BYTES as u64 {
        file.write_all(&block(at)).unwrap();
    }
    file.flush().unwrap();
}

fn assert_big(path: &Path) {
    let mut file = File::open(path).unwrap();
    assert_eq!(file.metadata().unwrap().len(), BIG_BYTES);
    let mut found = vec![0; BLOCK_BYTES];
    for at in 0..BIG_BYTES / BLOCK_BYTES as u64 {
        file.read_exact(&mut found).unwrap();
        assert!(found == block(at), "MiB {at} differs");
    }
}

fn round_trip(name: &str, command: &str) {
    let packing = Machine::on_disk();
    let folder = packing.root().join("source");
    std::fs::create_dir(&folder).unwrap();
    write_big(&folder.join("big.pak"));
    let machine = Machine::on_disk();
    pack(&folder, command, &machine.archive(name));
    drop(packing);
    let installed = machine.install().unwrap();
    assert_eq!((installed.files, installed.bytes), (1, BIG_BYTES), "{name}");
    assert_big(&machine.root().join("local/big.pak"));
}

#[test]
#[ignore = "12 GiB of disk and minutes: `just big-archives`"]
fn zip() {
    round_trip("7z.zip", "7z a -tzip -mx=1 -bso0 -bsp0 \"$OUT\" .");
}

#[test]
#[ignore = "12 GiB of disk and minutes: `just big-archives`"]
fn zip_stored_as_a_stream() {
    let command = "bsdtar -cf - --format zip --options zip:compression=store * > \"$OUT\"";
    round_trip("stored.zip", command);
}

#[test]
#[ignore = "12 GiB of disk and minutes: `just big-archives`"]
fn tar_zst() {
    round_trip("big.tar.zst", "tar c . | zstd -q -1 -o \"$OUT\"");
}

#[test]
#[ignore = "12 GiB of disk and minutes: `just big-archives`"]
fn tar_as_it_is() {
    round_trip("big.tar", "bsdtar -cf \"$OUT\" --format pax .");
}

#[test]
#[ignore = "12 GiB of disk and minutes: `just big-archives`"]
fn seven_z_stored() {
    round_trip("big.7z", "7z a -mx=0 -bso0 -bsp0 \"$OUT\" .");
}
