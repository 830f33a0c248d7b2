//! Properties of all MPTCP options together.
