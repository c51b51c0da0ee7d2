//! A ZIP's index, looked at before the crate `zip` reads it: that takes room for as many entries as the
//! end record says, and keeps only the last of several entries with one name.

use std::{
    collections::HashSet,
    io::{self, Read, Seek, SeekFrom},
};

use lanspread_proto::limits;

use crate::{error::Problem, input::Input, limits::ArchiveLimits};

const HEADER_MAGIC: &[u8] = b"PK\x01\x02";
const HEADER_BYTES: usize = 46;
const END_MAGIC: &[u8] = b"PK\x05\x06";
const END_BYTES: usize = 22;
const LOCATOR64_MAGIC: &[u8] = b"PK\x06\x07";
const LOCATOR64_BYTES: usize = 20;
const END64_MAGIC: &[u8] = b"PK\x06\x06";
const END64_BYTES: usize = 56;

/// Where an end record can be: it has a comment of 64 KiB at most.
const TAIL_BYTES_MAX: u64 = (LOCATOR64_BYTES + END_BYTES + u16::MAX as usize) as u64;

/// What an end record says of the index.
struct End {
    is_of_several_volumes: bool,
    entries: u64,
    index_start: u64,
    /// Where the records after the index begin.
    after_index: u64,
}

/// Holds the index against the limits, whichever record one takes for the end. Says whether the archive
/// is one of several volumes.
pub(super) fn check(input: &mut Input, limits: &ArchiveLimits) -> Result<bool, Problem> {
    look_at_ends(input, limits).unwrap_or_else(|error| Err(input.watch().blame(error)))
}

fn look_at_ends(input: &mut Input, limits: &ArchiveLimits) -> io::Result<Result<bool, Problem>> {
    let tail_start = input.len().saturating_sub(TAIL_BYTES_MAX);
    let mut tail = Vec::new();
    input.seek(SeekFrom::Start(tail_start))?;
    input.read_to_end(&mut tail)?;
    let mut is_of_several_volumes = false;
    for at in 0..tail.len().saturating_sub(END_BYTES - 1) {
        if !tail[at..].starts_with(END_MAGIC) {
            continue;
        }
        let Some(end) = end_at(input, &tail, at, tail_start)? else {
            continue;
        };
        is_of_several_volumes |= end.is_of_several_volumes;
        if let Err(problem) = check_end(input, &end, limits)? {
            return Ok(Err(problem));
        }
    }
    Ok(Ok(is_of_several_volumes))
}

/// The end record at a place of the tail, with that of zip64 if there is one.
fn end_at(input: &mut Input, tail: &[u8], at: usize, tail_start: u64) -> io::Result<Option<End>> {
    let record = &tail[at..];
    let end = End {
        is_of_several_volumes: u16_at(record, 4) != 0 || u16_at(record, 6) != 0,
        entries: u16_at(record, 8).max(u16_at(record, 10)).into(),
        index_start: u32_at(record, 16).into(),
        after_index: tail_start + at as u64,
    };
    let locator = at
        .checked_sub(LOCATOR64_BYTES)
        .map(|start| &tail[start..at])
        .filter(|locator| locator.starts_with(LOCATOR64_MAGIC));
    let Some(locator) = locator else {
        return Ok(Some(end));
    };
    let end64_start = u64_at(locator, 8);
    let record = read_at::<END64_BYTES>(input, end64_start)?;
    Ok(record
        .filter(|record| record.starts_with(END64_MAGIC))
        .map(|record| End {
            is_of_several_volumes: u32_at(&record, 16) != 0 || u32_at(&record, 20) != 0,
            entries: u64_at(&record, 24).max(u64_at(&record, 32)),
            index_start: u64_at(&record, 48).min(end64_start),
            after_index: end.after_index,
        })
        .or(Some(end)))
}

fn check_end(
    input: &mut Input,
    end: &End,
    limits: &ArchiveLimits,
) -> io::Result<Result<(), Problem>> {
    // A record that leads nowhere is none, only four bytes in a comment.
    let leads_to = read_at::<4>(input, end.index_start)?;
    if leads_to.is_none_or(|magic| magic != HEADER_MAGIC && magic != END64_MAGIC) {
        return Ok(Ok(()));
    }
    let index_bytes = end.after_index.saturating_sub(end.index_start);
    let checked = limits::check("entries", end.entries, limits.entries)
        .and_then(|()| limits::check("bytes of the index", index_bytes, limits.index_bytes));
    Ok(checked.map_err(Problem::from))
}

/// The first name that comes twice in the index that begins at `start`.
pub(super) fn duplicate(input: &mut Input, start: u64) -> io::Result<Option<Vec<u8>>> {
    let mut names = HashSet::new();
    let mut position = start;
    while let Some(header) = read_at::<HEADER_BYTES>(input, position)?
        && header.starts_with(HEADER_MAGIC)
    {
        let mut name = vec![0; usize::from(u16_at(&header, 28))];
        input.read_exact(&mut name)?;
        let after_name = u64::from(u16_at(&header, 30)) + u64::from(u16_at(&header, 32));
        position += (HEADER_BYTES + name.len()) as u64 + after_name;
        if let Some(name) = names.replace(name) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// So many bytes at a place; `None` if the file ends before.
fn read_at<const COUNT: usize>(input: &mut Input, start: u64) -> io::Result<Option<[u8; COUNT]>> {
    let end = start.checked_add(COUNT as u64);
    if end.is_none_or(|end| end > input.len()) {
        return Ok(None);
    }
    let mut bytes = [0; COUNT];
    input.seek(SeekFrom::Start(start))?;
    input.read_exact(&mut bytes)?;
    Ok(Some(bytes))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array_at(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}

fn array_at<const COUNT: usize>(bytes: &[u8], at: usize) -> [u8; COUNT] {
    let mut array = [0; COUNT];
    array.copy_from_slice(&bytes[at..at + COUNT]);
    array
}
