//! Random changes to inputs, for who has no libFuzzer: blind to what they reach, but the same everywhere.

use mpuser_engine::rng::Rng;

/// Makes inputs out of others.
#[derive(Debug)]
pub struct Mutator {
    rng: Rng,
    corpus: Vec<Vec<u8>>,
    most: usize,
}

impl Mutator {
    /// Over these inputs, none longer than `most` octets.
    #[must_use]
    pub fn new(seed: u64, mut corpus: Vec<Vec<u8>>, most: usize) -> Self {
        let mut bytes = [0xf2; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        corpus.push(Vec::new());
        Self { rng: Rng::from_seed(bytes), corpus, most: most.max(1) }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.rng.below(u32::try_from(bound).unwrap_or(u32::MAX).max(1)) as usize
    }

    /// The next input.
    pub fn next_input(&mut self) -> Vec<u8> {
        let chosen = self.below(self.corpus.len());
        let mut input = self.corpus[chosen].clone();
        let fresh = self.below(8) == 0;
        if fresh || input.is_empty() {
            let len = 1 + self.below(self.most);
            input = (0..len).map(|_| self.rng.next_u32() as u8).collect();
        }
        for _ in 0..1 + self.below(6) {
            self.change(&mut input);
        }
        input.truncate(self.most);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.below(input.len() + 1);
        let len = 1 + self.below(16);
        let end = (at + len).min(input.len());
        match self.below(7) {
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            1 if at < input.len() => input[at] = [0, 1, 0x7f, 0x80, 0xff][self.below(5)],
            2 => drop(input.drain(at..end)),
            3 => {
                let new: Vec<u8> = (0..len).map(|_| self.rng.next_u32() as u8).collect();
                input.splice(at..at, new);
            }
            4 => {
                let copy = input[at..end].to_vec();
                let to = self.below(input.len() + 1);
                input.splice(to..to, copy);
            }
            5 => {
                // the beginning of this one and the end of another
                let other = self.below(self.corpus.len());
                let from = self.below(self.corpus[other].len() + 1);
                input.truncate(at);
                input.extend_from_slice(&self.corpus[other][from..]);
            }
            _ if at < input.len() => input[at] = self.rng.next_u32() as u8,
            _ => input.push(self.rng.next_u32() as u8),
        }
    }
}
