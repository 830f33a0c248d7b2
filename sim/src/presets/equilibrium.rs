//! Where congestion control comes to rest: long flows over lossy links, as fixed points. Loss is small and adds up
//! along a route, and a TCP of round-trip time `r` sends `sqrt(2 / p) / r` (the square-root law without delayed
//! acknowledgements). Used to say what a scenario *should* give for parameters nobody has published.

/// How a multipath user divides its rates among its routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Every route is a TCP of its own; also a user with one route.
    Uncoupled,
    /// LIA (RFC 6356): as fast in total as a TCP on the best route, windows in proportion to 1 / loss.
    Lia,
}

/// A way through the network.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Indices of the links it crosses.
    pub links: Vec<usize>,
    /// Round-trip time, in any unit that all routes share.
    pub rtt: f64,
}

/// Users who all do the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Users {
    /// How many.
    pub count: f64,
    /// Their congestion control.
    pub control: Control,
    /// Their routes, one subflow each.
    pub routes: Vec<Route>,
}

/// The rates at rest.
#[derive(Clone, Debug, PartialEq)]
pub struct Equilibrium {
    /// Rate of each route of one user, by users and route.
    pub rates: Vec<Vec<f64>>,
    /// Loss of each link, relative to the others only.
    pub loss: Vec<f64>,
}

impl Equilibrium {
    /// What one user of group `users` gets over all its routes.
    pub fn total(&self, users: usize) -> f64 {
        self.rates.get(users).map_or(0.0, |rates| rates.iter().sum())
    }
}

const ROUNDS: usize = 200_000;
/// Links are filled to within this.
const EXACT: f64 = 1e-10;
/// A link with less loss than this beside the others is no bottleneck.
const NO_LOSS: f64 = 1e-12;

/// Raises and lowers the loss of links until every bottleneck is just full. `None` if there is no rest (a capacity, a
/// count or a round-trip time that is not positive, an index out of range).
pub fn solve(capacities: &[f64], users: &[Users]) -> Option<Equilibrium> {
    let positive = |x: f64| x.is_finite() && x > 0.0;
    let routes = || users.iter().flat_map(|u| &u.routes);
    if !capacities.iter().copied().all(positive)
        || !users.iter().all(|u| u.count.is_finite() && u.count >= 0.0)
        || !routes().all(|r| positive(r.rtt) && !r.links.is_empty())
        || routes().flat_map(|r| &r.links).any(|&l| l >= capacities.len())
    {
        return None;
    }
    let mut loss = vec![1.0_f64; capacities.len()];
    for _ in 0..ROUNDS {
        let rates: Vec<Vec<f64>> = users.iter().map(|u| rates(u, &loss)).collect();
        let load = load(capacities.len(), users, &rates);
        let largest = loss.iter().copied().fold(0.0, f64::max);
        let mut off: f64 = 0.0;
        for ((p, load), capacity) in loss.iter_mut().zip(&load).zip(capacities) {
            let excess = load / capacity;
            let bottleneck = *p > largest * NO_LOSS;
            if bottleneck || excess > 1.0 {
                off = off.max((excess - 1.0).abs());
            }
            // half a step in logarithms: rates go with loss to the power of -1/2 to -1
            *p = (*p * excess.clamp(0.25, 4.0).sqrt()).max(f64::MIN_POSITIVE);
        }
        if off < EXACT {
            return Some(Equilibrium { rates, loss });
        }
    }
    None
}

fn load(links: usize, users: &[Users], rates: &[Vec<f64>]) -> Vec<f64> {
    let mut load = vec![0.0; links];
    for (users, rates) in users.iter().zip(rates) {
        for (route, rate) in users.routes.iter().zip(rates) {
            for &link in &route.links {
                if let Some(load) = load.get_mut(link) {
                    *load += users.count * rate;
                }
            }
        }
    }
    load
}

/// Rates of one user at these losses.
fn rates(users: &Users, loss: &[f64]) -> Vec<f64> {
    let lost = |r: &Route| r.links.iter().filter_map(|&l| loss.get(l)).sum::<f64>();
    let alone = users.routes.iter().map(|r| (2.0 / lost(r)).sqrt() / r.rtt);
    match users.control {
        Control::Uncoupled => alone.collect(),
        Control::Lia => {
            let best = alone.fold(0.0, f64::max);
            // windows are as 1 / loss, so rates as 1 / (loss x round-trip time)
            let shares: Vec<f64> = users.routes.iter().map(|r| 1.0 / (lost(r) * r.rtt)).collect();
            let sum: f64 = shares.iter().sum();
            shares.iter().map(|share| best * share / sum).collect()
        }
    }
}
