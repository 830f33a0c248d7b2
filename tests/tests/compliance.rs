//! Every binding requirement of RFC 8684 is cited beside the code that does it and by a test that shows it, or stands in
//! `tests/data/exceptions.txt` with a reason. `tests/compliance` prints the table.

use mpuser_tests::compliance::Report;
use mpuser_tests::repository::report;

#[test]
fn every_requirement_has_code_and_a_test() {
    let found = Report::of_the_repository();
    println!("{}", found.table());
    report(&found.complaints);
}
