//! Scenarios A, B and C of Khalili et al. ("MPTCP is not Pareto-optimal", CoNEXT 2012): what LIA and uncoupled TCPs
//! should get, for any capacities, numbers of users and round-trip times.

use super::equilibrium::{Control, Equilibrium, Route, Users, solve};

/// Parameters of scenarios A and C.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TwoGroups {
    /// Multipath users.
    pub n1: f64,
    /// Single-path users.
    pub n2: f64,
    /// Capacity for each multipath user, on links of which they have `n1 * c1` together.
    pub c1: f64,
    /// Capacity for each single-path user, on the shared access point of `n2 * c2`.
    pub c2: f64,
    /// Round-trip times: of the multipath users' first path, of their second, of the single-path users.
    pub rtt: [f64; 3],
}

impl TwoGroups {
    /// Equal round-trip times, `n = n1 / n2`, `c = c1 / c2`, as in the paper's formulas; rates in units of `c2`.
    pub fn ratios(n: f64, c: f64) -> Self {
        Self { n1: n, n2: 1.0, c1: c, c2: 1.0, rtt: [1.0; 3] }
    }

    fn capacities(&self) -> [f64; 2] {
        [self.n1 * self.c1, self.n2 * self.c2]
    }

    fn solve(&self, control: Control, second: &[usize]) -> Option<Pair> {
        let [first, other, single] = self.rtt;
        let multipath = vec![
            Route { links: vec![0], rtt: first },
            Route { links: second.to_vec(), rtt: other },
        ];
        let tcp = vec![Route { links: vec![1], rtt: single }];
        let users = [
            Users { count: self.n1, control, routes: multipath },
            Users { count: self.n2, control: Control::Uncoupled, routes: tcp },
        ];
        solve(&self.capacities(), &users).map(|rest| Pair::of(&rest))
    }
}

/// What a user of each group gets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// A multipath user (in B: a Blue one).
    pub multipath: f64,
    /// A single-path user (in B: a Red one).
    pub single: f64,
}

impl Pair {
    fn of(rest: &Equilibrium) -> Self {
        Self { multipath: rest.total(0), single: rest.total(1) }
    }
}

/// Scenario A: type-1 users share a server's link and reach it directly and through the access point of the type-2
/// users, who have nothing else.
pub fn scenario_a(at: &TwoGroups, control: Control) -> Option<Pair> {
    at.solve(control, &[0, 1])
}

/// Scenario C: multipath users have an access point of their own, and use that of the single-path users as well.
pub fn scenario_c(at: &TwoGroups, control: Control) -> Option<Pair> {
    at.solve(control, &[1])
}

/// The fair optimum of scenario C: the multipath users leave the other access point alone if they have as much without
/// it; else everybody has the same.
pub fn fair_c(at: &TwoGroups) -> Pair {
    if at.c1 >= at.c2 {
        return Pair { multipath: at.c1, single: at.c2 };
    }
    let all = (at.n1 * at.c1 + at.n2 * at.c2) / (at.n1 + at.n2);
    Pair { multipath: all, single: all }
}

/// Parameters of scenario B.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FourProviders {
    /// Users of each colour.
    pub users: f64,
    /// Capacity of X.
    pub x: f64,
    /// Capacity of T.
    pub t: f64,
    /// Round-trip times: Blue over X, Blue over T, Red over T, Red over X and T.
    pub rtt: [f64; 4],
}

/// Scenario B: Blue users have X and T. Red users have T, and once upgraded X with T behind it.
pub fn scenario_b(at: &FourProviders, control: Control, upgraded: bool) -> Option<Pair> {
    let [blue_x, blue_t, red_t, red_x] = at.rtt;
    let route = |links: &[usize], rtt| Route { links: links.to_vec(), rtt };
    let mut red = vec![route(&[1], red_t)];
    if upgraded {
        red.push(route(&[0, 1], red_x));
    }
    let blue = vec![route(&[0], blue_x), route(&[1], blue_t)];
    let red_control = if upgraded { control } else { Control::Uncoupled };
    let users = [
        Users { count: at.users, control, routes: blue },
        Users { count: at.users, control: red_control, routes: red },
    ];
    solve(&[at.x, at.t], &users).map(|rest| Pair::of(&rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64, tolerance: f64) {
        assert!((a - b).abs() < tolerance, "{a} is not {b}");
    }

    #[test]
    fn scenario_a_has_the_tables_numbers() {
        for (n, lia, uncoupled) in [(1.0, 0.739, 0.586), (2.0, 0.590, 0.361)] {
            let at = TwoGroups::ratios(n, 1.0);
            let coupled = scenario_a(&at, Control::Lia).unwrap();
            near(coupled.single, lia, 6e-4);
            // type-1 users gain nothing: the server's link was all theirs before
            near(coupled.multipath, 1.0, 1e-6);
            near(scenario_a(&at, Control::Uncoupled).unwrap().single, uncoupled, 6e-4);
        }
    }

    #[test]
    fn scenario_c_has_the_tables_numbers() {
        for (n, mp, sp) in [(1.0, 1.296, 0.704), (2.0, 1.217, 0.566)] {
            let pair = scenario_c(&TwoGroups::ratios(n, 1.0), Control::Lia).unwrap();
            near(pair.multipath, mp, 6e-4);
            near(pair.single, sp, 6e-4);
            let apart = scenario_c(&TwoGroups::ratios(n, 1.0), Control::Uncoupled).unwrap();
            near(apart.single, 1.0 / (1.0 + n), 1e-6);
            near(apart.multipath, 1.0 + 1.0 / (1.0 + n), 1e-6);
        }
    }

    #[test]
    fn scenario_b_has_the_tables_numbers() {
        let at = FourProviders { users: 15.0, x: 27.0, t: 36.0, rtt: [1.0; 4] };
        let before = scenario_b(&at, Control::Lia, false).unwrap();
        near(before.multipath, 2.551, 6e-4);
        near(before.single, 1.649, 6e-4);
        let after = scenario_b(&at, Control::Lia, true).unwrap();
        near(after.multipath, 1.983, 6e-4);
        near(after.single, 1.611, 6e-4);
        near(15.0 * (after.multipath + after.single), 53.9, 0.05);
    }

    /// The polynomials of the paper, for parameters it does not list.
    #[test]
    fn the_polynomials_hold_for_other_parameters() {
        for n in [0.25, 0.5, 1.0, 3.0, 10.0] {
            for c in [0.75, 1.0, 1.5, 2.0, 4.0] {
                let at = TwoGroups::ratios(n, c);
                let a = scenario_a(&at, Control::Lia).unwrap();
                let s = a.single / c;
                near(n * c * s * s / (1.0 + 2.0 * s * s) + c * s, 1.0, 1e-6);
                let pair = scenario_c(&at, Control::Lia).unwrap();
                let s = pair.single / pair.multipath;
                near(n * c * s * s + c * (1.0 + s * s) * s, 1.0, 1e-6);
                near(pair.multipath, c * (1.0 + s * s), 1e-6);
                // uncoupled: type 1's rates are as 1 / sqrt(p1) and 1 / sqrt(p1 + p2)
                let apart = scenario_a(&at, Control::Uncoupled).unwrap();
                near(apart.multipath, c, 1e-6);
                let x2 = (1.0 - apart.single) / n;
                let x1 = c - x2;
                near(x2.powi(-2) - x1.powi(-2), apart.single.powi(-2), 1e-4 / (x2 * x2));
            }
        }
    }

    /// Little capacity of their own: the shared access point is the best path, and everybody gets the same.
    #[test]
    fn with_a_small_private_link_lia_is_fair() {
        let at = TwoGroups::ratios(1.0, 0.2);
        let pair = scenario_c(&at, Control::Lia).unwrap();
        near(pair.multipath, 0.6, 1e-6);
        near(pair.single, 0.6, 1e-6);
        assert_eq!(fair_c(&at), Pair { multipath: 0.6, single: 0.6 });
        assert_eq!(fair_c(&TwoGroups::ratios(3.0, 1.5)), Pair { multipath: 1.5, single: 1.0 });
    }

    #[test]
    fn what_cannot_be_has_no_rest() {
        assert_eq!(scenario_c(&TwoGroups::ratios(1.0, 0.0), Control::Lia), None);
        let mut at = TwoGroups::ratios(1.0, 1.0);
        at.rtt = [1.0, f64::NAN, 1.0];
        assert_eq!(scenario_a(&at, Control::Lia), None);
        let stray = Users {
            count: 1.0,
            control: Control::Lia,
            routes: vec![Route { links: vec![7], rtt: 1.0 }],
        };
        assert_eq!(solve(&[1.0], &[stray]), None);
    }
}
