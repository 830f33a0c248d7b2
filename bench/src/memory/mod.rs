//! Stacks that talk to themselves in memory, on one thread and in virtual time.

pub mod mpuser;
#[cfg(feature = "quinn")]
pub mod quinn;
pub mod smoltcp;

/// What an application writes and reads at a time, octets.
pub const CHUNK: usize = 64 << 10;
/// Send and receive buffers of every stack, octets.
pub const BUFFER: usize = 1 << 20;
/// Packets under way at once, in one direction. A batch of this size stays in a core's cache.
pub const BATCH: usize = 64;
/// IP packets are at most this long.
pub const MTU: u16 = 1_500;
/// Virtual time of one turn of both ends, microseconds.
pub const TURN_US: u64 = 20;

/// Data from one application to the other.
pub trait Flow {
    /// Moves at least so many octets; returns how many.
    ///
    /// # Errors
    /// It does not go on.
    fn transfer(&mut self, octets: u64) -> Result<u64, String>;
}

/// Turns without an octet after which nothing can be expected any more.
const MAX_IDLE_TURNS: usize = 100_000;

/// Repeats `turn`, which returns how many octets arrived, until there are enough of them.
fn until(octets: u64, mut turn: impl FnMut() -> Result<u64, String>) -> Result<u64, String> {
    let (mut total, mut idle) = (0, 0);
    while total < octets {
        let arrived = turn()?;
        total += arrived;
        idle = if arrived == 0 { idle + 1 } else { 0 };
        if idle > MAX_IDLE_TURNS {
            return Err(format!("stands still after {total} octets"));
        }
    }
    Ok(total)
}
