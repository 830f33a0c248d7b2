//! scratch
use mpuser_sim::scenario::*;
use mpuser_sim::world;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let text = std::fs::read_to_string(&a[1]).unwrap();
    let mut set = Vec::new();
    let mut seed = 1;
    for w in &a[2..] {
        let (k, v) = w.split_once('=').unwrap();
        if k == "seed" { seed = v.parse().unwrap() } else { set.push((k.to_owned(), v.to_owned())) }
    }
    let wishes = Wishes { set: Assignments(set), ..Wishes::default() };
    let sc = Scenario::parse(&text, &wishes, &mut |_| Err(String::new())).unwrap();
    let o = world::run(&sc, seed).unwrap();
    println!("ended {:.3} packets {} events {}", o.ended, o.data_packets, o.events);
    for f in &o.flows {
        print!(
            "{} {} start {:.3} end {:?} mbit {:.4} compl {} err {:?} reinj {} dup {} idle {} hol {} ofomax {} ofo p50 {:.4} p99 {:.4}",
            f.group,
            f.instance,
            f.start,
            f.end,
            f.goodput_bps / 1e6,
            f.completions.len(),
            f.error,
            f.reinjected_bytes,
            f.duplicate_bytes,
            f.idle_resets,
            f.hol_blocked_bytes,
            f.ofo_max,
            f.ofo_delay.quantile(0.5),
            f.ofo_delay.quantile(0.99)
        );
        for s in &f.subflows {
            print!(
                " | p{} pps {:.2} sent {} re {} srtt {:.4} cwnd {}",
                s.path,
                s.throughput_bps / 8.0 / if f.mptcp { 1428.0 } else { 1448.0 },
                s.sent_bytes,
                s.retransmitted_bytes,
                s.srtt,
                s.cwnd / 1400
            );
        }
        println!();
    }
    for l in &o.links {
        for (n, d) in [("f", &l.forward), ("b", &l.backward)] {
            println!(
                "  {}.{} rx {} util {:?} full {} lost {} managed {} qmax {}",
                l.name, n, d.received, d.utilisation, d.queue_full, d.lost, d.managed, d.queue_max
            );
        }
    }
}
