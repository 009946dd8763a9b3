mod coherence;
mod nodes;
