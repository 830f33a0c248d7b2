//! The table itself, and what no case may do to the engine.

use crate::conform::{EngineTarget, all, select};
use std::collections::BTreeSet;

#[test]
fn the_engine_stays_sound_in_every_case() {
    for case in all() {
        let mut target = EngineTarget::new(&case.setup);
        let first = case.observe(&mut target);
        target.check().unwrap_or_else(|broken| panic!("{}: {broken}", case.id));
        let again = case.observe(&mut EngineTarget::new(&case.setup));
        assert_eq!(first, again, "{}: virtual time repeats itself", case.id);
    }
}

#[test]
fn names_are_unique_and_select_cases() {
    let names: BTreeSet<&str> = all().iter().map(|case| case.id).collect();
    assert_eq!(names.len(), all().len());
    let some = select(&["h".to_owned(), "J13".to_owned()]).unwrap();
    assert!(some.iter().all(|case| case.group() == 'H' || case.id == "J13"));
    assert!(some.len() > 20);
    assert_eq!(select(&["Q".to_owned()]).unwrap_err(), "Q");
}
