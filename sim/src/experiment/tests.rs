//! Plans, their order, who runs what, and what is said of plans that cannot be.

use super::*;
use crate::document::Mistake;
use crate::scenario::Scenario;
use proptest::prelude::*;
use std::collections::BTreeSet;

const SCENARIO: &str = r#"
name = "two-path"
[params]
n = 1
rate = { default = 10, about = "Mbit/s", min = 1 }
cc = "cubic"
[links.a]
rate = "${rate}mbit"
[links.b]
trace = "b.trace"
[[flows]]
name = "mp"
count = "${n}"
cc = "${cc}"
paths = ["a", "b"]
"#;

/// Files that need no disk.
struct Shelf;

impl Library for Shelf {
    fn scenario(&mut self, name: &str) -> Result<String, String> {
        match name {
            "two-path.toml" => Ok(SCENARIO.to_owned()),
            "broken.toml" => {
                Ok("name = \"x\"\n[links.a]\nrat = 1\n[[flows]]\npaths = [\"a\"]\n".into())
            }
            _ => Err(format!("cannot read {name}: no such file")),
        }
    }

    fn file(&mut self, name: &str) -> Result<String, String> {
        if name == "b.trace" { Ok("5\n10\n".into()) } else { Err(format!("cannot read {name}")) }
    }
}

fn plan(text: &str) -> Result<Plan, Mistake> {
    read(text, &Overrides::default(), &mut Shelf)
}

fn labels(plan: &Plan) -> Vec<String> {
    plan.points.iter().map(Point::label).collect()
}

const GRID: &str = r#"
name = "buffers"
scenario = "two-path.toml"
seeds = "3..5"
[set]
rate = 20
[grid]
n = [1, 2]
cc = ["newreno", "cubic"]
"#;

#[test]
fn a_grid_has_every_combination_in_one_order() {
    let plan = plan(GRID).unwrap();
    let expected = [
        "rate=20 n=1 cc=newreno",
        "rate=20 n=1 cc=cubic",
        "rate=20 n=2 cc=newreno",
        "rate=20 n=2 cc=cubic",
    ];
    assert_eq!(labels(&plan), expected);
    assert_eq!((plan.total(), plan.varying()), (12, vec!["n".to_owned(), "cc".to_owned()]));
    let seeds: Vec<u64> = (0..4).map(|run| plan.run(run).unwrap().seed).collect();
    assert_eq!(seeds, [3, 4, 5, 3]);
    assert_eq!((plan.run(11).unwrap().point, plan.run(12)), (3, None));
    assert_eq!(plan.scenario(2).unwrap().flows[0].count, 2);
    assert_eq!(plan.files["b.trace"], "5\n10\n");
    assert_eq!(plan.values(1).unwrap().get("cc").unwrap().to_string(), "cubic");
    let head = &plan.columns()[..7];
    assert_eq!(head, ["run", "point", "seed", "n", "rate", "cc", "digest"]);
    assert!(plan.columns().contains(&"link.b.fwd.utilisation".to_owned()));
    assert!(plan.columns().contains(&"mp.path1_bps".to_owned()));
}

#[test]
fn lists_hypercubes_and_plans_within_scenarios() {
    let listed = plan(
        "name = \"x\"\nscenario = \"two-path.toml\"\nrepeat = 2\n[[list]]\nn = 1\n[[list]]\nn = 2\nrate = 5\n[grid]\nsched = [\"minrtt\", \"rr\"]\n",
    );
    let listed = listed.unwrap();
    let expected =
        ["n=1 sched=minrtt", "n=1 sched=rr", "n=2 rate=5 sched=minrtt", "n=2 rate=5 sched=rr"];
    assert_eq!(labels(&listed), expected);
    assert_eq!(listed.scenario(1).unwrap().flows[0].scheduler.name(), "rr");
    assert_eq!(listed.columns().iter().filter(|c| *c == "sched").count(), 1);

    let inline = format!("{SCENARIO}[experiment]\nseeds = [1, 9]\ngrid = {{ n = [1, 2, 3] }}\n");
    assert_eq!(plan(&inline).unwrap().total(), 6);
    // a scenario alone is one point
    assert_eq!((plan(SCENARIO).unwrap().points.len(), plan(SCENARIO).unwrap().total()), (1, 10));
    let within = "name = \"x\"\nrepeat = 1\n[scenario]\nname = \"y\"\nlinks = { a = \"rate=1mbit\" }\nflows = [{ paths = [\"a\"] }]\n";
    let within = plan(within).unwrap();
    assert_eq!((within.total(), within.scenario(0).unwrap().name.as_str()), (1, "y"));
}

#[test]
fn every_stratum_of_a_hypercube_has_one_point() {
    let text = "name = \"x\"\nscenario = \"two-path.toml\"\nrepeat = 1\n[lhs]\npoints = 50\nseed = 3\n\
                [lhs.axes]\nrate = { from = 1, to = 100, scale = \"log\" }\nn = { from = 1, to = 51, whole = true }\ncc = [\"newreno\", \"cubic\"]\n";
    let plan = plan(text).unwrap();
    let of = |name: &str| -> Vec<f64> {
        plan.points.iter().map(|point| point.get(name).unwrap().parse().unwrap()).collect()
    };
    let stratum = |rate: f64| ((rate.ln() / 100f64.ln()) * 50.0) as usize;
    let strata: BTreeSet<usize> = of("rate").into_iter().map(stratum).collect();
    assert_eq!(strata.len(), 50);
    assert!(of("n").iter().all(|n| n.fract().abs() < 1e-9 && (1.0..=51.0).contains(n)));
    let cubic = plan.points.iter().filter(|point| point.get("cc") == Some("cubic")).count();
    assert_eq!(cubic, 25);
    // an axis more changes nothing of the others
    let more = text.replace("n = { from = 1, to = 51, whole = true }\n", "");
    let fewer = super::read(&more, &Overrides::default(), &mut Shelf).unwrap();
    let rates = |plan: &Plan| -> Vec<String> {
        plan.points.iter().map(|point| point.get("rate").unwrap().to_owned()).collect()
    };
    assert_eq!(rates(&fewer), rates(&plan));
}

#[test]
fn what_is_said_outside_wins() {
    let overrides = Overrides {
        set: vec!["n=7,rate=3".into()],
        cc: Some("newreno".into()),
        scheduler: Some("rr".into()),
        seeds: Some(Seeds::Given(vec![1])),
    };
    let plan = read(GRID, &overrides, &mut Shelf).unwrap();
    assert_eq!(labels(&plan), ["n=7 rate=3 sched=rr cc=newreno"]);
    assert_eq!(plan.total(), 1);
    let group = &plan.scenario(0).unwrap().flows[0];
    assert_eq!((group.count, group.scheduler.name(), group.cc.name()), (7, "rr", "reno"));
}

#[test]
fn digest_and_seeds_depend_on_everything_and_nothing_else() {
    let text = GRID.replace("seeds = \"3..5\"", "repeat = 3");
    let one = plan(&text).unwrap();
    let again = plan(&text).unwrap();
    assert_eq!((&one.digest, one.digest.len()), (&again.digest, 64));
    let seeds = |plan: &Plan| -> Vec<u64> {
        (0..plan.total()).map(|run| plan.run(run).unwrap().seed).collect()
    };
    assert_eq!(seeds(&one), seeds(&again));
    let different: BTreeSet<u64> = seeds(&one).into_iter().collect();
    assert_eq!(different.len(), 12);
    assert!(different.iter().all(|seed| *seed < 1 << 53));
    for (from, to) in
        [("rate = 20", "rate = 21"), ("[1, 2]", "[2, 1]"), ("repeat = 3", "repeat = 4")]
    {
        let other = plan(&text.replace(from, to)).unwrap();
        assert_ne!(one.digest, other.digest, "{to}");
        assert_ne!(seeds(&one)[0], seeds(&other)[0], "{to}");
    }
}

/// A plan, where its mistake is, what is said of it, and what is advised.
type Refused = (&'static str, Option<(usize, usize)>, &'static str, &'static str);

const REFUSED: &[Refused] = &[
    ("scenario = \"two-path.toml\"", Some((1, 1)), "lacks `name`", "name = "),
    ("name = \"x\"\nscenario = \"lost.toml\"", Some((2, 12)), "cannot read lost.toml", "a preset"),
    (
        "name = \"x\"\nscenario = \"two-path.toml\"\nsceds = 1",
        Some((3, 1)),
        "no key `sceds`",
        "`seeds`",
    ),
    (
        "name = \"x\"\nscenario = \"two-path.toml\"\nseeds = \"9..1\"",
        Some((3, 9)),
        "names no seeds",
        "1..10",
    ),
    ("name = \"x\"\nscenario = \"two-path.toml\"\nseeds = []", Some((3, 9)), "no seed", "1..10"),
    (
        "name = \"x\"\nscenario = \"two-path.toml\"\nseeds = [1]\nrepeat = 2",
        Some((4, 10)),
        "seeds, too",
        "keep one",
    ),
    (
        "name = \"x\"\nscenario = \"two-path.toml\"\nseeds = [1, 1]",
        None,
        "seed 1 is there twice",
        "once",
    ),
    (
        "name = \"x\"\nscenario = \"two-path.toml\"\ngrid = { m = [1] }",
        Some((3, 14)),
        "no parameter `m`",
        "known: n",
    ),
    (
        "name = \"x\"\nscenario = \"two-path.toml\"\ngrid = { n = [] }",
        Some((3, 14)),
        "no value",
        "[1, 2]",
    ),
    (
        "name = \"x\"\nscenario = \"two-path.toml\"\ngrid = { rate = [0] }",
        None,
        "0 is out of range",
        "default is 10",
    ),
    (
        "name = \"x\"\nscenario = \"two-path.toml\"\ngrid = { cc = [\"cubik\", \"cubic\"] }",
        Some((14, 6)),
        "\"cubik\" (at cc=cubik)",
        "`cubic`",
    ),
    (
        "name = \"x\"\nscenario = \"two-path.toml\"\nlhs = { points = 2 }",
        Some((3, 7)),
        "lacks `axes`",
        "from = 1",
    ),
    (
        "name = \"x\"\nscenario = \"two-path.toml\"\nlhs = { points = 2, axes = { n = { from = 2, to = 1 } } }",
        Some((3, 51)),
        "ends before",
        "above",
    ),
    ("name = \"x\"\nscenario = \"broken.toml\"", Some((3, 1)), "no key `rat`", "`rate`"),
];

#[test]
fn mistakes_in_plans_are_named() {
    for &(text, at, message, help) in REFUSED {
        let mistake = plan(text).unwrap_err();
        assert!(mistake.message.contains(message), "{text}: {mistake:?}");
        assert!(mistake.help.contains(help), "{text}: {mistake:?}");
        assert_eq!(mistake.at, at, "{text}: {mistake:?}");
        // a mistake within the scenario names that file
        let elsewhere = text.contains("broken") || text.contains("cubik");
        assert_eq!(mistake.file.is_some() && at.is_some(), elsewhere, "{mistake:?}");
    }
}

#[test]
fn shards_are_found_in_the_environment() {
    let shard = |pairs: &[(&str, &str)]| {
        Shard::from_environment(|name| {
            pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    };
    for (pairs, index, count) in [
        (&[("SLURM_ARRAY_TASK_ID", "3"), ("SLURM_ARRAY_TASK_COUNT", "8")][..], 3, 8),
        (
            &[
                ("SLURM_ARRAY_TASK_ID", "14"),
                ("SLURM_ARRAY_TASK_MIN", "10"),
                ("SLURM_ARRAY_TASK_STEP", "2"),
                ("SLURM_ARRAY_TASK_COUNT", "5"),
            ],
            2,
            5,
        ),
        (&[("JOB_COMPLETION_INDEX", "0"), ("MPUSER_SHARDS", "4")], 0, 4),
        // tasks 3 and 7 of 8 once more
        (
            &[
                ("SLURM_ARRAY_TASK_ID", "7"),
                ("SLURM_ARRAY_TASK_MIN", "3"),
                ("SLURM_ARRAY_TASK_COUNT", "2"),
                ("MPUSER_SHARDS", "8"),
            ],
            7,
            8,
        ),
        (&[("SGE_TASK_ID", "8"), ("MPUSER_SHARDS", "8")], 7, 8),
        (&[("PBS_ARRAY_INDEX", "7"), ("MPUSER_SHARDS", "9")], 7, 9),
        (&[("SGE_TASK_ID", "1"), ("SGE_TASK_LAST", "4"), ("SGE_TASK_STEPSIZE", "1")], 0, 4),
        (
            &[
                ("SGE_TASK_ID", "5"),
                ("SGE_TASK_FIRST", "3"),
                ("SGE_TASK_LAST", "8"),
                ("SGE_TASK_STEPSIZE", "2"),
            ],
            1,
            3,
        ),
    ] {
        assert_eq!(shard(pairs), Ok(Shard { index, count }), "{pairs:?}");
    }
    for (pairs, part) in [
        (&[][..], "no task of an array"),
        (&[("SGE_TASK_ID", "undefined")], "no task of an array"),
        (&[("SLURM_ARRAY_TASK_ID", "x")], "no number"),
        (&[("JOB_COMPLETION_INDEX", "1")], "not how many"),
        (&[("SLURM_ARRAY_TASK_ID", "8"), ("SLURM_ARRAY_TASK_COUNT", "8")], "shard 8 of 8"),
        (&[("SGE_TASK_ID", "0"), ("SGE_TASK_LAST", "8")], "before the first"),
    ] {
        let error = shard(pairs).unwrap_err();
        assert!(error.message.contains(part), "{pairs:?}: {error:?}");
        assert!(!error.help.is_empty());
    }
    for text in ["", "1", "4/4", "-1/2", "0/0", "a/b", "1/2/3"] {
        assert!(Shard::parse(text).is_err(), "{text}");
    }
    assert_eq!(Shard::parse("3/4"), Ok(Shard { index: 3, count: 4 }));
}

#[test]
fn rows_are_kept_once_and_gaps_are_named() {
    let mut rows = Rows::default();
    for run in [0, 1, 2, 5, 9] {
        rows.add(run, vec![run.to_string()]).unwrap();
    }
    rows.add(5, vec!["5".into()]).unwrap();
    let error = rows.add(5, vec!["6".into()]).unwrap_err();
    assert!(error.contains("run 5 is there twice and differs, in column 1"), "{error}");
    assert_eq!(missing(&rows, 0..10), Some((5, "3-4, 6-8".to_owned())));
    assert_eq!(missing(&rows, 0..3), None);
    let order: Vec<u64> = rows.iter().map(|(run, _)| run).collect();
    assert_eq!(order, [0, 1, 2, 5, 9]);
}

#[test]
fn a_row_has_every_column_of_its_plan() {
    let plan = plan(SCENARIO).unwrap();
    let scenario: Scenario = plan.scenario(0).unwrap();
    let row = metrics(&scenario, &crate::metrics::Outcome::default());
    let names: Vec<String> = row.into_iter().map(|(name, _)| name).collect();
    assert!(plan.columns().ends_with(&names));
}

proptest! {
    /// Every run is in exactly one shard, whatever their number.
    #[test]
    fn shards_divide_the_runs(total in 0u64..500, count in 1u64..40) {
        let mut all: Vec<u64> = Vec::new();
        for index in 0..count {
            let shard = Shard { index, count };
            let mine: Vec<u64> = shard.runs(total).collect();
            prop_assert!(mine.iter().all(|run| shard.has(*run)));
            all.extend(mine);
        }
        all.sort_unstable();
        prop_assert_eq!(all, (0..total).collect::<Vec<_>>());
    }
}
