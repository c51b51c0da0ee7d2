//! `party new`: certificates for a party that strangers cannot join.

use std::io::Write;

use anyhow::Result;
use lanspread_peer::Party;

use crate::{args::PartyVerb, exit::Exit};

/// Carries out a verb about parties.
///
/// # Errors
/// The folder cannot be written or holds a party already.
pub(crate) fn run(verb: &PartyVerb) -> Result<Exit> {
    let PartyVerb::New { dir } = verb;
    let party = Party::create(dir)?;
    let dir = dir.display();
    writeln!(
        std::io::stdout(),
        "Made the party {} in {dir}.\n\
         Copy the folder to every machine of the party and start each with --party {dir}.\n\
         Whoever has the folder is a member: keep it from everybody else.",
        party.short()
    )?;
    Ok(Exit::Success)
}
