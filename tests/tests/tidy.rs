//! The rules of the repository that no compiler knows: sizes, layers, clocks, citations, documents.
#![expect(clippy::expect_used, reason = "what cannot be there fails the test")]

#[path = "tidy/code.rs"]
mod code;
#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/layers.rs"]
mod layers;

use mpuser_tests::repository;
