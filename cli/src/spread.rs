//! Which way out of this machine each forwarder's packets take.
//!
//! The n-th forwarder goes by the n-th of its ways, round about, so that a machine with several interfaces uses them. When
//! interfaces come and go, as few forwarders move as can: those whose way is gone, and one for each way that nobody uses.

use crate::follow::same;
use mpuser_tun::net::Egress;
use std::net::SocketAddr;

/// A forwarder and its way.
#[derive(Clone, Debug)]
struct Placed {
    /// Which of the forwarders it is, those that are streams counted, too.
    number: usize,
    remote: SocketAddr,
    way: Egress,
}

/// Forwarders that packets go to, each with its way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spread(Vec<Placed>);

impl Spread {
    /// One more, with the ways that lead there; false when there are none.
    pub(crate) fn place(&mut self, number: usize, remote: SocketAddr, ways: &[Egress]) -> bool {
        let way = home(number, ways).cloned();
        self.0.extend(way.clone().map(|way| Placed { number, remote, way }));
        way.is_some()
    }

    /// The ways that are used, each once, in the order of who uses them.
    pub(crate) fn ways(&self) -> Vec<Egress> {
        let mut all: Vec<Egress> = Vec::new();
        for Placed { way, .. } in &self.0 {
            if !all.iter().any(|known| same(known, way)) {
                all.push(way.clone());
            }
        }
        all
    }

    /// Who goes by this way.
    pub(crate) fn by(&self, way: &Egress) -> impl Iterator<Item = SocketAddr> {
        self.0.iter().filter(|placed| same(&placed.way, way)).map(|placed| placed.remote)
    }

    /// Places them anew, now that these are the ways that lead to each; the ways in use that are there.
    pub(crate) fn again(&mut self, ways: impl Fn(SocketAddr) -> Vec<Egress>) -> Vec<Egress> {
        let now: Vec<Vec<Egress>> = self.0.iter().map(|placed| ways(placed.remote)).collect();
        for (index, ways) in now.iter().enumerate() {
            let lost = |placed: &Placed| !ways.iter().any(|way| same(way, &placed.way));
            if self.0.get(index).is_some_and(lost) {
                let least = ways.iter().min_by_key(|way| self.by(way).count());
                self.move_to(index, least.cloned());
            }
        }
        for way in now.iter().flatten() {
            if self.by(way).next().is_none() {
                let index = self.who_moves_to(way, &now);
                index.into_iter().for_each(|index| self.move_to(index, Some(way.clone())));
            }
        }
        let is_there = |way: &Egress| now.iter().flatten().any(|there| same(there, way));
        self.ways().into_iter().filter(is_there).collect()
    }

    fn move_to(&mut self, index: usize, way: Option<Egress>) {
        if let Some((placed, way)) = self.0.get_mut(index).zip(way) {
            placed.way = way;
        }
    }

    /// Of those that share their way with another, the one that would have had this way from the beginning, or the last.
    fn who_moves_to(&self, way: &Egress, now: &[Vec<Egress>]) -> Option<usize> {
        let may = |(index, placed, ways): &(usize, &Placed, &Vec<Egress>)| {
            let shares = self.by(&placed.way).count() > 1;
            (shares && ways.iter().any(|there| same(there, way))).then_some(*index)
        };
        let all = || self.0.iter().zip(now).enumerate().map(|(index, (p, ways))| (index, p, ways));
        let at_home = all().find(|(_, placed, ways)| {
            home(placed.number, ways).is_some_and(|home| same(home, way))
        });
        at_home.as_ref().and_then(may).or_else(|| all().filter_map(|one| may(&one)).next_back())
    }
}

/// The way of the n-th forwarder while all ways are there.
fn home(number: usize, ways: &[Egress]) -> Option<&Egress> {
    ways.iter().cycle().nth(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mpuser_tun::net::Reach;

    fn way(dev: &str) -> Egress {
        Egress {
            name: dev.into(),
            dev: dev.into(),
            local: [192, 0, 2, 1].into(),
            primary: true,
            gateway: None,
            reach: Reach::Gateway,
            backup: false,
            mtu: 1_500,
        }
    }

    fn ways(devs: &str) -> Vec<Egress> {
        devs.split_whitespace().map(way).collect()
    }

    fn spread(count: u16, devs: &str) -> Spread {
        let mut spread = Spread::default();
        for number in 0..count {
            let remote = ([10, 0, 0, 1], 7_000 + number).into();
            assert!(spread.place(usize::from(number), remote, &ways(devs)));
        }
        spread
    }

    fn devs(spread: &Spread) -> Vec<&str> {
        spread.0.iter().map(|placed| placed.way.dev.as_str()).collect()
    }

    fn now(spread: &mut Spread, devs: &str) -> Vec<String> {
        spread.again(|_| ways(devs)).into_iter().map(|way| way.dev).collect()
    }

    #[test]
    fn the_nth_goes_by_the_nth() {
        assert_eq!(devs(&spread(5, "a b")), ["a", "b", "a", "b", "a"]);
        assert_eq!(devs(&spread(1, "a b")), ["a"]);
        assert!(!Spread::default().place(0, ([10, 0, 0, 1], 1).into(), &[]));
    }

    #[test]
    fn a_new_way_is_used_by_one_and_the_others_stay() {
        let mut all = spread(3, "a");
        assert_eq!(now(&mut all, "a b"), ["a", "b"]);
        assert_eq!(devs(&all), ["a", "b", "a"], "as if it had been there");
        assert_eq!(now(&mut all, "a b c"), ["a", "b", "c"]);
        assert_eq!(devs(&all), ["a", "b", "c"]);
        // nobody is left for a fourth
        assert_eq!(now(&mut all, "d a b c"), ["a", "b", "c"]);
        let mut one = spread(1, "a");
        assert_eq!(now(&mut one, "a b"), ["a"], "a single one stays where it is");
    }

    #[test]
    fn a_way_that_goes_is_left_for_the_others_and_one_comes_back() {
        let mut all = spread(2, "a b");
        assert_eq!(now(&mut all, "b"), ["b"]);
        assert_eq!(devs(&all), ["b", "b"]);
        assert_eq!(now(&mut all, ""), [""; 0]);
        assert_eq!(devs(&all), ["b", "b"], "until there is one");
        assert_eq!(now(&mut all, "a b"), ["a", "b"]);
        assert_eq!(devs(&all), ["a", "b"], "each at home");
        let mut one = spread(1, "a");
        assert_eq!(now(&mut one, "b"), ["b"]);
        assert_eq!(now(&mut one, "a b"), ["b"], "no reason to move back");
    }

    /// Forwarders that are not reached by the same interfaces.
    #[test]
    fn only_ways_that_lead_there_count() {
        let mut all = spread(2, "a");
        let port = |last| SocketAddr::from(([10, 0, 0, 1], last));
        let some = |remote| if remote == port(7_001) { ways("a b c") } else { ways("a") };
        assert_eq!(all.again(some).len(), 2);
        assert_eq!(devs(&all), ["a", "b"]);
        assert_eq!(all.by(&way("b")).collect::<Vec<_>>(), [port(7_001)]);
    }
}
