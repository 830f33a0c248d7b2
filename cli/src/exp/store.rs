//! The rows of a shard on disk: a part and its manifest, replaced as a whole, so that whoever is killed leaves what
//! was there before or what was to be.

use crate::error::{Code, Failure, plain_words};
use mpuser_sim::experiment::{Plan, Rows, Seeds, Shard};
use mpuser_sim::text::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a part, or the whole table, says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) schema: String,
    /// Of the program that ran it.
    pub(crate) version: String,
    pub(crate) name: String,
    /// SHA-256 of the plan: scenario, traces, points, seeds.
    pub(crate) plan: String,
    /// `1,2,3`, or how many are derived from the plan and the number of the run.
    pub(crate) seeds: ManifestSeeds,
    /// Values of the parameters that were set, by name, in the order in which they come first.
    pub(crate) parameters: BTreeMap<String, Vec<String>>,
    /// Runs of the whole plan.
    pub(crate) total: u64,
    /// `I/N`.
    pub(crate) shard: String,
    /// Rows there are.
    pub(crate) rows: u64,
    /// Every row is there.
    pub(crate) complete: bool,
    /// SHA-256 of the table, once it is complete.
    pub(crate) sha256: Option<String>,
}

/// Seeds in a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ManifestSeeds {
    /// These.
    Given(Vec<u64>),
    /// So many per point.
    Derived(u32),
}

const SCHEMA: &str = "mpuser.exp.manifest/1";
const VERSION: &str = env!("CARGO_PKG_VERSION");

impl Manifest {
    /// The manifest of this part of a plan.
    pub(crate) fn new(plan: &Plan, shard: Shard) -> Self {
        let mut parameters: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in plan.points.iter().flat_map(|point| &point.set) {
            let values = parameters.entry(name.clone()).or_default();
            if !values.contains(value) {
                values.push(value.clone());
            }
        }
        Self {
            schema: SCHEMA.to_owned(),
            version: VERSION.to_owned(),
            name: plan.name.clone(),
            plan: plan.digest.clone(),
            seeds: match &plan.seeds {
                Seeds::Given(seeds) => ManifestSeeds::Given(seeds.clone()),
                Seeds::Derived(count) => ManifestSeeds::Derived(*count),
            },
            parameters,
            total: plan.total(),
            shard: shard.to_string(),
            rows: 0,
            complete: false,
            sha256: None,
        }
    }
}

/// A part in a directory.
pub(crate) struct Part {
    pub(crate) manifest: Manifest,
    pub(crate) table: PathBuf,
}

/// The rows of a shard, in memory and on disk.
pub(crate) struct Store {
    dir: PathBuf,
    stem: String,
    manifest: Manifest,
    columns: Vec<String>,
    /// Rows of this shard.
    pub(crate) rows: Rows,
    dirty: bool,
}

impl Store {
    /// Opens a directory for a shard of a plan, makes it if it is not there, and takes over the rows of this shard
    /// that any part in it has.
    pub(crate) fn open(dir: &Path, plan: &Plan, shard: Shard) -> Result<Self, Failure> {
        let made = std::fs::create_dir_all(dir);
        made.map_err(|error| Failure::io(format!("cannot make {}", dir.display()), &error))?;
        let mut rows = Rows::default();
        let manifest = Manifest::new(plan, shard);
        for part in parts(dir)? {
            agree(&part.manifest, &manifest, dir)?;
            for (run, cells) in read_table(&part.table, plan.columns())? {
                if shard.has(run) {
                    add(&mut rows, run, cells, &part.table)?;
                }
            }
        }
        let stem = format!("part-{}-of-{}", shard.index, shard.count);
        let columns = plan.columns().to_vec();
        let mut store = Self { dir: dir.to_owned(), stem, manifest, columns, rows, dirty: true };
        // whose rows they are stands there before the first of them
        store.write(false)?;
        Ok(store)
    }

    /// Adds the row of a run.
    pub(crate) fn add(&mut self, run: u64, cells: Vec<String>) -> Result<(), Failure> {
        self.dirty = true;
        let path = self.dir.join(format!("{}.csv", self.stem));
        add(&mut self.rows, run, cells, &path)
    }

    /// Writes what there is.
    pub(crate) fn write(&mut self, complete: bool) -> Result<(), Failure> {
        if !self.dirty && !complete {
            return Ok(());
        }
        let table = csv_text(&self.columns, &self.rows)?;
        self.manifest.rows = self.rows.len() as u64;
        self.manifest.complete = complete;
        self.manifest.sha256 = complete.then(|| sha256(&table));
        replace(&self.dir.join(format!("{}.csv", self.stem)), &table)?;
        replace(&self.dir.join(format!("{}.json", self.stem)), &pretty(&self.manifest)?)?;
        self.dirty = false;
        Ok(())
    }
}

/// All parts of a directory, by name.
pub(crate) fn parts(dir: &Path) -> Result<Vec<Part>, Failure> {
    let unreadable =
        |error: &std::io::Error| Failure::io(format!("cannot read {}", dir.display()), error);
    let mut names: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|error| unreadable(&error))? {
        let path = entry.map_err(|error| unreadable(&error))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("part-") && name.ends_with(".json") {
            names.push(path);
        }
    }
    names.sort();
    let read =
        |path: PathBuf| Ok(Part { manifest: manifest(&path)?, table: path.with_extension("csv") });
    names.into_iter().map(read).collect()
}

/// A manifest.
pub(crate) fn manifest(path: &Path) -> Result<Manifest, Failure> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::io(format!("cannot read {shown}"), &error))?;
    serde_json::from_str(&text).map_err(|error| {
        let help = "remove it and the table beside it; its runs are then run again";
        Failure::new(Code::Malformed, format!("{shown} is no manifest"), error, help)
    })
}

/// Two manifests are of the same plan and program.
pub(crate) fn agree(there: &Manifest, here: &Manifest, dir: &Path) -> Result<(), Failure> {
    let because = if there.plan != here.plan {
        format!("it holds rows of another plan, {} ({})", there.name, short(&there.plan))
    } else if there.version != here.version {
        format!("it holds rows of mpuser {}", there.version)
    } else {
        return Ok(());
    };
    let help =
        "use another directory for --out, or remove this one; rows of different plans do not mix";
    Err(Failure::new(Code::Malformed, format!("{} cannot be used", dir.display()), because, help))
}

/// The beginning of a digest.
pub(crate) fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

pub(crate) fn add(
    rows: &mut Rows,
    run: u64,
    cells: Vec<String>,
    table: &Path,
) -> Result<(), Failure> {
    rows.add(run, cells).map_err(|because| {
        let help = "one of the files is damaged, or was written by another build of mpuser: remove it and run again";
        Failure::new(Code::Check, format!("{} contradicts another part", table.display()), because, help)
    })
}

/// The rows of a table with these columns. A table that is not there has none.
pub(crate) fn read_table(
    path: &Path,
    columns: &[String],
) -> Result<Vec<(u64, Vec<String>)>, Failure> {
    let shown = path.display();
    if !path.exists() {
        return Ok(Vec::new());
    }
    let damaged = |because: String| {
        let help = "remove it; its runs are then run again";
        Failure::new(Code::Malformed, format!("{shown} is damaged"), because, help)
    };
    let mut reader = csv::ReaderBuilder::new()
        .flexible(false)
        .from_path(path)
        .map_err(|e| damaged(e.to_string()))?;
    let head = reader.headers().map_err(|error| damaged(error.to_string()))?;
    if head.iter().ne(columns.iter().map(String::as_str)) {
        return Err(damaged("its columns are not those of the plan".to_owned()));
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| damaged(error.to_string()))?;
        let run = record.get(0).and_then(|run| run.parse().ok());
        let run = run.ok_or_else(|| damaged("a row has no number".to_owned()))?;
        rows.push((run, record.iter().map(str::to_owned).collect()));
    }
    Ok(rows)
}

/// Rows as CSV, in the order of runs.
pub(crate) fn csv_text(columns: &[String], rows: &Rows) -> Result<Vec<u8>, Failure> {
    let wrong = |error: csv::Error| Failure::internal("a table cannot be written", error);
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(columns).map_err(wrong)?;
    for (_, cells) in rows.iter() {
        writer.write_record(cells).map_err(wrong)?;
    }
    writer.into_inner().map_err(|error| Failure::internal("a table cannot be written", error))
}

/// An object as lines of JSON.
pub(crate) fn pretty(object: &impl Serialize) -> Result<Vec<u8>, Failure> {
    let text = serde_json::to_vec_pretty(object);
    let mut text =
        text.map_err(|error| Failure::internal("a manifest cannot be written", error))?;
    text.push(b'\n');
    Ok(text)
}

/// Hexadecimal SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Writes a file beside its place and moves it there: nobody ever sees half of it.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    use std::io::Write as _;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let beside = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let write = || {
        let mut file = std::fs::File::create(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    };
    write().map_err(|error| {
        // nothing more can be done about the half that is there
        let _ = std::fs::remove_file(&beside);
        let help = "check that there is room and that the directory can be written";
        Failure::new(
            Code::Io,
            format!("cannot write {}", path.display()),
            plain_words(&error),
            help,
        )
    })
}
