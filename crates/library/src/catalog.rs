//! The games that this peer knows, from a JSON file that an operator writes.
//!
//! `{"games":[{"id":"cnctw","name":"Tiberian Wars","version":"1.9","manifest":"<64 digits>"}]}`; `manifest`
//! is optional and pins one exact payload, unknown fields are skipped. Without a file every valid id passes.

use std::{
    collections::{BTreeMap, HashMap, btree_map::Entry},
    error::Error as _,
    fmt,
    path::{Path, PathBuf},
};

use serde::{
    Deserialize, Deserializer,
    de::{self, SeqAccess, Visitor},
};

use lanspread_disk::{DiskError, ambient};
use lanspread_proto::{GameId, IdError, ManifestId, Version};

/// Bytes of the longest catalog that is read; a thousand times what a large party needs.
const CATALOG_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Which games exist for this peer. It gates what is announced, served, downloaded and removed.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// `None` without a file: everything passes.
    games: Option<Games>,
}

/// One game of the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CatalogGame {
    /// The folder's name.
    #[serde(deserialize_with = "id_with_its_reason")]
    pub id: GameId,
    /// What people call it.
    pub name: String,
    /// The version that a download takes.
    pub version: Version,
    /// The one payload that is accepted for that version, if the operator pinned it.
    #[serde(default)]
    pub manifest: Option<ManifestId>,
}

/// Why a file is not a catalog.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// The file cannot be read, or has more than 64 MiB.
    #[error("could not read the catalog")]
    Read(#[source] DiskError),
    /// The content is not a catalog: not JSON, a field is missing, an id is bad or stands there twice.
    #[error("the catalog {} is wrong at line {line}, column {column}", path.display())]
    Parse {
        /// The catalog.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, from 1; where the reader stood when it noticed, at most one value further on.
        column: usize,
        /// What is wrong; it names the id.
        #[source]
        source: serde_json::Error,
    },
}

impl Catalog {
    /// The catalog of an operator who wrote none: every valid id passes.
    pub fn open_to_all() -> Self {
        Self::default()
    }

    /// Reads a catalog file. Blocking.
    ///
    /// # Errors
    /// [`CatalogError`] names the file and, for bad content, line, column and the bad id.
    pub fn load(path: &Path) -> Result<Self, CatalogError> {
        let content = ambient::read_file(path, CATALOG_BYTES_MAX).map_err(CatalogError::Read)?;
        Self::parse(path, &content)
    }

    /// The catalog with this content; `path` only appears in errors.
    ///
    /// # Errors
    /// [`CatalogError::Parse`].
    pub fn parse(path: &Path, content: &[u8]) -> Result<Self, CatalogError> {
        let file: CatalogFile =
            serde_json::from_slice(content).map_err(|source| CatalogError::Parse {
                path: path.to_owned(),
                line: source.line(),
                column: source.column(),
                source,
            })?;
        Ok(Self {
            games: Some(file.games),
        })
    }

    /// Whether this game exists for this peer.
    pub fn admits(&self, id: &GameId) -> bool {
        self.games
            .as_ref()
            .is_none_or(|games| games.by_id.contains_key(id))
    }

    /// What people call this game, if the catalog says so.
    pub fn name(&self, id: &GameId) -> Option<&str> {
        self.game(id).map(|game| game.name.as_str())
    }

    /// The version that the catalog names for this game.
    pub fn version(&self, id: &GameId) -> Option<&Version> {
        self.game(id).map(|game| &game.version)
    }

    /// The manifest that the catalog pins for this game.
    pub fn pinned(&self, id: &GameId) -> Option<ManifestId> {
        self.game(id).and_then(|game| game.manifest)
    }

    /// How the catalog spells this id, if it knows it in another letter case only.
    pub fn other_spelling(&self, id: &GameId) -> Option<&GameId> {
        self.games
            .as_ref()?
            .by_folded
            .get(&id.folded())
            .filter(|known| *known != id)
    }

    /// The catalog's games by id; none without a file.
    pub fn games(&self) -> impl Iterator<Item = &CatalogGame> {
        self.games.iter().flat_map(|games| games.by_id.values())
    }

    fn game(&self, id: &GameId) -> Option<&CatalogGame> {
        self.games.as_ref()?.by_id.get(id)
    }
}

#[derive(Deserialize)]
struct CatalogFile {
    games: Games,
}

#[derive(Debug, Clone, Default)]
struct Games {
    by_id: BTreeMap<GameId, CatalogGame>,
    by_folded: HashMap<String, GameId>,
}

impl Games {
    /// Adds a game; gives back the spelling that is already there.
    fn insert(&mut self, game: CatalogGame) -> Result<(), GameId> {
        if let Some(known) = self.by_folded.insert(game.id.folded(), game.id.clone()) {
            return Err(known);
        }
        match self.by_id.entry(game.id.clone()) {
            Entry::Vacant(free) => free.insert(game),
            Entry::Occupied(taken) => return Err(taken.key().clone()),
        };
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Games {
    /// Checks for duplicates while reading, so that the error knows its line.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Games;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of games")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Games, A::Error> {
                let mut games = Games::default();
                while let Some(game) = list.next_element::<CatalogGame>()? {
                    let id = game.id.clone();
                    games.insert(game).map_err(|known| {
                        de::Error::custom(format_args!(
                            "game \"{id}\" is there already, as \"{known}\""
                        ))
                    })?;
                }
                Ok(games)
            }
        }
        deserializer.deserialize_seq(List)
    }
}

/// Like the id's own parser, but with the rule that the text breaks, which serde's text-only errors would
/// otherwise lose.
fn id_with_its_reason<'de, D: Deserializer<'de>>(deserializer: D) -> Result<GameId, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|error: IdError| match error.source() {
        Some(reason) => de::Error::custom(format_args!("{error}: {reason}")),
        None => de::Error::custom(error),
    })
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test looks at the disk from outside"
)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{
        "comment": "unknown fields are skipped",
        "games": [
            {"id": "cnctw", "name": "Tiberian Wars", "version": "1.9", "genre": "rts"},
            {"id": "Age of Empires II", "name": "AoE", "version": "2.0a",
             "manifest": "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"}
        ]
    }"#;

    fn id(text: &str) -> GameId {
        text.parse().unwrap()
    }

    fn parse(text: &str) -> Result<Catalog, CatalogError> {
        Catalog::parse(Path::new("party/games.json"), text.as_bytes())
    }

    #[test]
    fn answers_for_the_games_in_it_only() {
        let catalog = parse(GOOD).unwrap();
        assert!(catalog.admits(&id("cnctw")) && !catalog.admits(&id("doom")));
        assert_eq!(catalog.name(&id("cnctw")), Some("Tiberian Wars"));
        assert_eq!(
            catalog.version(&id("Age of Empires II")).unwrap().as_str(),
            "2.0a"
        );
        assert_eq!(catalog.pinned(&id("cnctw")), None);
        assert!(catalog.pinned(&id("Age of Empires II")).is_some());
        assert_eq!(catalog.games().count(), 2);
    }

    #[test]
    fn another_letter_case_is_not_admitted_but_recognised() {
        let catalog = parse(GOOD).unwrap();
        assert!(!catalog.admits(&id("CnCTW")));
        assert_eq!(catalog.other_spelling(&id("CnCTW")), Some(&id("cnctw")));
        assert_eq!(catalog.other_spelling(&id("cnctw")), None);
    }

    #[test]
    fn without_a_file_everything_passes() {
        let catalog = Catalog::open_to_all();
        assert!(catalog.admits(&id("anything")));
        assert_eq!(
            (catalog.name(&id("anything")), catalog.games().count()),
            (None, 0)
        );
    }

    /// Text of the error and of what it names as its cause.
    fn refused(text: &str) -> (usize, usize, String) {
        let error = parse(text).unwrap_err();
        let shown = format!("{error}: {}", error.source().unwrap());
        let CatalogError::Parse { line, column, .. } = error else {
            panic!("{error}")
        };
        (line, column, shown)
    }

    #[test]
    fn errors_name_file_line_column_and_the_bad_id() {
        let (line, column, shown) =
            refused("{\"games\": [\n  {\"id\": \"a/b\", \"name\": \"x\"}]}");
        assert_eq!((line, column), (2, 14), "{shown}");
        assert!(
            shown.contains("party/games.json") && shown.contains("line 2, column 14"),
            "{shown}"
        );
        assert!(shown.contains("\"a/b\""), "{shown}");

        let (line, _, shown) = refused("{\"games\": [\n\n{\"id\": \"NUL\", \"name\": \"x\"}]}");
        assert_eq!(line, 3, "{shown}");
        assert!(shown.contains("\"NUL\" cannot be a game id: "), "{shown}");

        let (line, _, shown) = refused("{\"games\": [\n{\"id\": \"x\",");
        assert_eq!(line, 2, "{shown}");
        let (_, _, shown) = refused("{\"games\": [{\"id\": \"x\", \"version\": \"1\"}]}");
        assert!(shown.contains("name"), "{shown}");
    }

    #[test]
    fn duplicates_are_refused_in_any_letter_case_with_their_line() {
        for second in ["cnctw", "CNCTW"] {
            let text = format!(
                "{{\"games\": [\n{{\"id\": \"cnctw\", \"name\": \"x\", \"version\": \"1\"}},\n\
                 {{\"id\": \"{second}\", \"name\": \"x\", \"version\": \"1\"}}]}}"
            );
            let (line, _, shown) = refused(&text);
            assert_eq!(line, 3, "{shown}");
            assert!(
                shown.contains(&format!("game {second:?} is there already")),
                "{shown}"
            );
        }
    }

    #[test]
    fn a_file_that_is_missing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("games.json");
        let error = Catalog::load(&path).unwrap_err();
        assert_eq!(error.to_string(), "could not read the catalog");
        let cause = error.source().unwrap().to_string();
        assert!(cause.contains(path.to_str().unwrap()), "{cause}");
    }

    #[test]
    fn a_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("games.json");
        std::fs::write(&path, GOOD).unwrap();
        assert!(Catalog::load(&path).unwrap().admits(&id("cnctw")));
    }
}
