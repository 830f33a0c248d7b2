//! Middleboxes: what networks do to TCP on its way.
