"""Makes `data/sergio.h5ad`: cells of gene networks with known edges: `python -m benchmarks.sergio_cells`.

Expression that follows random networks by the stochastic differential equations of SERGIO (Dibaeinia & Sinha, Cell
Systems 11, 252, 2020), in the states that its master regulators set, and counted as a droplet would. The simulator is
`pip install sergio-rs==0.2.3`: under the GPL, and needed by nobody who does not make these cells anew.
"""

import importlib

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from scripts.truth import SERGIO_FILE

N_NETWORKS, N_GENES, N_MASTERS, N_STATES, N_CELLS = 3, 60, 8, 6, 150  # cells of each state
MOST_REGULATORS = 3  # of a gene, drawn from those before it
DECAY, STRENGTH, HILL = 0.8, (1.0, 5.0), 2  # SERGIO's own choices
LOW, HIGH = (1.0, 2.0), (2.0, 3.5)  # rates of a master regulator that is off, or on: near enough that states meet
STEPS_FIRST, STEPS_BETWEEN, STEP, NOISE = 150, 10, 0.01, 1.0
CAPTURED = 1.5  # counts for each unit of expression
LIBRARY_SD = 0.3  # standard deviation of the logarithm of the cells' library sizes


def network(sergio, seed: int) -> tuple[np.ndarray, object]:
    """Who regulates whom, (n_genes, n_genes) bool, regulators in rows; and the same for the simulator."""
    random, made = np.random.default_rng(seed), sergio.GRN()
    genes = [sergio.Gene(f"g{gene:02d}", DECAY) for gene in range(N_GENES)]
    regulates = np.zeros((N_GENES, N_GENES), bool)
    for gene in range(N_MASTERS, N_GENES):
        for regulator in random.choice(gene, random.integers(1, MOST_REGULATORS + 1), replace=False):
            strength = random.choice([-1, 1]) * random.uniform(*STRENGTH)
            made.add_interaction(genes[regulator], genes[gene], strength, None, HILL)
            regulates[regulator, gene] = True
    made.set_mrs()
    return regulates, made


def counts(sergio, made: object, seed: int) -> np.ndarray:
    """Of cells of all states, (n_cells, n_genes) int."""
    states = sergio.MrProfile.from_random(made, N_STATES, LOW, HIGH, seed)
    simulation = sergio.Sim(made, N_CELLS, STEPS_FIRST, STEPS_BETWEEN, STEP, NOISE, seed)
    expression = simulation.simulate(states).sort("Genes").drop("Genes").to_numpy().T
    random = np.random.default_rng(seed)
    library = np.exp(LIBRARY_SD * random.normal(size=(len(expression), 1)))
    return random.poisson(CAPTURED * library * np.maximum(expression, 0))


def main() -> None:
    """Write the file: a layer of counts for each network, and its edges in varp."""
    sergio = importlib.import_module("sergio_rs")
    obs = pd.DataFrame(index=[f"cell-{cell}" for cell in range(N_STATES * N_CELLS)])
    obs["state"] = pd.Categorical(np.repeat([str(state) for state in range(N_STATES)], N_CELLS))
    cells = ad.AnnData(obs=obs, var=pd.DataFrame(index=[f"g{gene:02d}" for gene in range(N_GENES)]))
    for seed in range(N_NETWORKS):
        regulates, made = network(sergio, seed)
        cells.layers[f"network {seed}"] = counts(sergio, made, seed).astype(np.uint16)
        cells.varp[f"network {seed}"] = sparse.csr_array(regulates.astype(np.int8))
    cells.write_h5ad(SERGIO_FILE, compression="gzip", compression_opts=9)


if __name__ == "__main__":
    main()
