"""The oracle: a slow, dense, obvious second implementation, written from the formulas.

Shares no code with scripts/. Dense matrices in float64, and loops where loops are clearer.
"""

import itertools

import numpy as np
import torch
from scipy.linalg import expm


def frequencies(X, k, n_comps, dtype=np.float64):
    """Cosine k nearest neighbours, A = (N + N^T > 0), L = D - A; lowest non-trivial eigenpairs by dense eigh."""
    X = np.asarray(X, dtype=dtype)
    n = len(X)
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    N = np.zeros((n, n), dtype=dtype)
    for i in range(n):
        N[i, np.argsort(-similarity[i])[:k]] = 1
    A = ((N + N.T) > 0).astype(dtype)
    L = np.diag(A.sum(axis=1)) - A
    values, vectors = np.linalg.eigh(L)
    return values[1 : n_comps + 1], vectors[:, 1 : n_comps + 1], A


def interaction_matrices(w_l, w_r, w_p):
    """B_f = sym(sum_h P[f, h] l_h r_h^T), (freq, genes, genes), dense."""
    w_l, w_r, w_p = (np.asarray(w, dtype=np.float64) for w in (w_l, w_r, w_p))
    B = np.stack([w_l.T @ np.diag(p) @ w_r for p in w_p])
    return 0.5 * (B + B.transpose(0, 2, 1))


def with_products(B, pairs, weights):
    """B_f with weights[f, k] x_i x_j added to x^T B_f x for each pair, entry by entry."""
    B = B.copy()
    for f in range(len(B)):
        for (i, j), weight in zip(pairs, weights[f], strict=True):
            B[f, i, j] += weight / 2
            B[f, j, i] += weight / 2
    return B


def modules(B):
    """All eigenpairs of each dense B_f, the largest absolute eigenvalue first."""
    pairs = []
    for B_f in B:
        values, vectors = np.linalg.eigh(B_f)
        order = np.argsort(-np.abs(values))
        pairs.append((values[order], vectors[:, order]))
    return pairs


def correlations(X, y):
    """Pearson correlation of every gene with every frequency, (genes, freq); 0 for constant genes."""
    result = np.zeros((X.shape[1], y.shape[1]))
    for gene in range(X.shape[1]):
        for frequency in range(y.shape[1]):
            if X[:, gene].std() > 0:
                result[gene, frequency] = np.corrcoef(X[:, gene], y[:, frequency])[0, 1]
    return result


def pattern(X, u):
    """Pearson correlation of every gene with the axis u . x, (genes,); 0 for constant genes."""
    return correlations(X, (X @ u)[:, None])[:, 0]


def pole_jaccard(a, b, n_genes):
    """Mean Jaccard of the genes of largest positive and negative weight, whichever way round fits better."""

    def poles(weights):
        order = sorted(range(len(weights)), key=lambda i: -weights[i])
        return {i for i in order[:n_genes] if weights[i] > 0}, {i for i in order[-n_genes:] if weights[i] < 0}

    def jaccard(one, other):
        return len(one & other) / len(one | other) if one | other else 0.0

    (high, low), (other_high, other_low) = poles(a), poles(b)
    same = jaccard(high, other_high) + jaccard(low, other_low)
    return max(same, jaccard(high, other_low) + jaccard(low, other_high)) / 2


class Bilinear(torch.nn.Module):
    """y = P (L x * R x), no biases."""

    def __init__(self, d_input, d_hidden, d_output):
        super().__init__()
        self.left = torch.nn.Linear(d_input, d_hidden, bias=False)
        self.right = torch.nn.Linear(d_input, d_hidden, bias=False)
        self.out = torch.nn.Linear(d_hidden, d_output, bias=False)

    def forward(self, x):
        return self.out(self.left(x) * self.right(x))


def train_seed(train, val, d_hidden=128, n_epochs=500, lr=1e-4, batch_size=32, random_state=0):
    """The seed's training: torch's DataLoader item by item, Adam, L1, cosine schedule. Returns the model and losses.

    train, val : anything with a length that yields (x, y) float32 tensors.
    """
    torch.manual_seed(random_state)
    x, y = train[0]
    model = Bilinear(len(x), d_hidden, len(y))
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=n_epochs)
    train_loader = torch.utils.data.DataLoader(train, batch_size=batch_size, shuffle=True)
    val_loader = torch.utils.data.DataLoader(val, batch_size=batch_size)
    train_losses, val_losses = [], []
    for _ in range(n_epochs):
        batch_losses = []
        for x, y in train_loader:
            optimizer.zero_grad()
            loss = torch.nn.functional.l1_loss(model(x), y)
            loss.backward()
            optimizer.step()
            batch_losses.append(loss.item() * len(x))
        schedule.step()
        train_losses.append(sum(batch_losses) / len(train))
        with torch.no_grad():
            errors = [torch.nn.functional.l1_loss(model(x), y).item() * len(x) for x, y in val_loader]
        val_losses.append(sum(errors) / len(val))
    return model, train_losses, val_losses


def extend(edges, values, vectors):
    """v(x) = sum_j a_xj v_j / (degree_x - lambda), one new cell and one frequency at a time; edges dense."""
    result = np.zeros((len(edges), len(values)))
    for x, row in enumerate(edges):
        for f, value in enumerate(values):
            result[x, f] = sum(a * v for a, v in zip(row, vectors[:, f], strict=True)) / (row.sum() - value)
    return result


def entered(X_new, X, k):
    """1 where a training cell is among a new cell's k nearest, or the new cell would be among its k nearest; cosine."""

    def unit(A):
        A = np.asarray(A, dtype=np.float64)
        return A / np.linalg.norm(A, axis=1, keepdims=True)

    across, within = unit(X_new) @ unit(X).T, unit(X) @ unit(X).T
    np.fill_diagonal(within, -np.inf)
    reach = np.sort(within, axis=1)[:, -k]
    edges = across >= reach
    for x in range(len(across)):
        edges[x, np.argsort(-across[x])[:k]] = True
    return edges.astype(float)


def bilinear_ridge(Z, y, main_penalty, pair_penalty):
    """Ridge on z_i and, for i <= j, z_i z_j (times sqrt(2) where i < j), penalties in units of total variance.

    One row of features a cell, written out; returns a function that predicts. Z (cells, r); y (cells, freq).
    """

    def features(Z):
        rows = []
        for z in np.asarray(Z, dtype=np.float64):
            pairs = [z[i] * z[j] * (1 if i == j else np.sqrt(2)) for i in range(len(z)) for j in range(i, len(z))]
            rows.append(np.concatenate([z, pairs]))
        return np.array(rows)

    F = features(Z)
    n, r = len(F), Z.shape[1]
    mean, y_mean = F.mean(axis=0), y.mean(axis=0)
    F = F - mean
    variance = (F**2).mean(axis=0)
    penalty = np.concatenate(
        [
            np.full(r, main_penalty * variance[:r].sum()),
            np.full(F.shape[1] - r, pair_penalty * variance[r:].sum()),
        ]
    )
    weights = np.linalg.inv(F.T @ F / n + np.diag(penalty)) @ (F.T @ (y - y_mean) / n)
    return lambda new: y_mean + (features(new) - mean) @ weights


def multiple_correlation(X, y):
    """R of the regression of each gene on all targets, one gene at a time."""
    result = []
    design = np.column_stack([np.ones(len(y)), y])
    for gene in np.asarray(X, dtype=np.float64).T:
        fitted = design @ np.linalg.lstsq(design, gene, rcond=None)[0]
        total = ((gene - gene.mean()) ** 2).sum()
        result.append(np.sqrt(max(0.0, 1 - ((gene - fitted) ** 2).sum() / total)) if total > 0 else 0.0)
    return np.array(result)


def regressed(values, covariates, fit_rows=slice(None)):
    """Residuals of least squares on [1, covariates], fitted to some cells, one column at a time; plus its mean."""
    design = np.hstack([np.ones((len(values), 1)), covariates])
    columns = []
    for column in values.T.astype(np.float64):
        coefficients, *_ = np.linalg.lstsq(design[fit_rows], column[fit_rows], rcond=1e-8)
        columns.append(column - design @ coefficients + column[fit_rows].mean())
    return np.stack(columns, axis=1)


def polynomial(X, axes, offset, bound, weights, constant):
    """c_f + sum over all products of one, two and three axes, each product once; weights (freq, products).

    Axes are t = X axes - offset, and b tanh(t / b) where there is a bound b.
    """
    t = X @ axes - offset
    if bound:
        t = bound * np.tanh(t / bound)
    k = t.shape[1]
    result = np.zeros((len(X), len(weights)))
    for cell, values in enumerate(t):
        terms = [values[i] for i in range(k)]
        terms += [values[i] * values[j] for i in range(k) for j in range(i, k)]
        terms += [values[i] * values[j] * values[m] for i in range(k) for j in range(i, k) for m in range(j, k)]
        for f in range(len(weights)):
            result[cell, f] = constant[f] + sum(w * term for w, term in zip(weights[f], terms, strict=True))
    return result


def products(t, factors, w_p):
    """sum_h P[f, h] prod_k (a_k + w_k . t)_h, with the constants a_k in the first column of each factor."""
    t = np.column_stack([np.ones(len(t)), t])
    if len(factors) == 3:
        return np.einsum("fh,hi,hj,hk,ci,cj,ck->cf", w_p, *factors, t, t, t)
    if len(factors) == 2:
        return np.einsum("fh,hi,hj,ci,cj->cf", w_p, *factors, t, t)
    return np.einsum("fh,hi,ci->cf", w_p, *factors, t)


class Plain:
    """Genes as they are, as the features of cells."""

    def __init__(self, X, y):
        self.coordinates = lambda X: np.asarray(X, dtype=np.float64)


def polynomial_ridge(Z, y, order, rate, penalty):
    """Ridge on all products of up to `order` features, each weighted as (1 + rate z . z')^order has it.

    Z (cells, r), rate in units of 1 / mean |z|^2, penalty in units of the mean squared length of the products.
    """
    rate = rate / (np.asarray(Z, dtype=np.float64) ** 2).sum(axis=1).mean()

    def features(Z):
        rows = []
        for z in np.asarray(Z, dtype=np.float64):
            one = np.concatenate([[1], np.sqrt(rate) * z])
            row = np.ones(1)
            for _ in range(order):
                row = np.kron(row, one)
            rows.append(row)
        return np.array(rows)

    F, mean, deviation = features(Z), y.mean(axis=0), y.std(axis=0)
    ridge = penalty * (F**2).sum(axis=1).mean() * np.eye(F.shape[1])
    weights = np.linalg.solve(F.T @ F + ridge, F.T @ ((y - mean) / deviation))
    return lambda new: mean + deviation * (features(new) @ weights)


def gradients(predict, Z, step=1e-4):
    """Central differences of each prediction by each feature, (freq, cells, r); Z (cells, r)."""
    slopes = []
    for i in range(Z.shape[1]):
        up, down = Z.copy(), Z.copy()
        up[:, i] += step
        down[:, i] -= step
        slopes.append((predict(up) - predict(down)) / (2 * step))
    return np.stack(slopes, axis=2).transpose(1, 0, 2)


def active_subspace(predict, Z, deviation):
    """sum_f of the mean over cells of grad y_f grad y_f^T, gradients in units of each feature's deviation; (r, r)."""
    result = np.zeros((Z.shape[1], Z.shape[1]))
    for of_frequency in gradients(predict, Z):
        for slope in of_frequency:
            result += np.outer(slope * deviation, slope * deviation) / len(Z)
    return result


def canonical_correlations(one, other):
    """Of all columns of one with all of the other, the largest first: roots of Sxx^-1 Sxy Syy^-1 Syx (Hotelling)."""
    n = one.shape[1]
    S = np.cov(np.hstack([one, other]).T)
    squares = np.linalg.eigvals(np.linalg.inv(S[:n, :n]) @ S[:n, n:] @ np.linalg.inv(S[n:, n:]) @ S[n:, :n])
    return np.sqrt(np.sort(squares.real)[::-1])


def varimax(loadings, n_sweeps=100):
    """Kaiser's rotation of columns, pair by pair, each by the angle of the largest variance of the squares."""
    turned, n = loadings.copy(), len(loadings)
    for _ in range(n_sweeps):
        for i, j in itertools.combinations(range(turned.shape[1]), 2):
            x, y = turned[:, i].copy(), turned[:, j].copy()
            u, v = x**2 - y**2, 2 * x * y
            up = 2 * (u @ v - u.sum() * v.sum() / n)
            along = u @ u - v @ v - (u.sum() ** 2 - v.sum() ** 2) / n
            angle = np.arctan2(up, along) / 4
            turned[:, i], turned[:, j] = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    return turned


def pair_statistics(y, conditions, E):
    """sum_c r e_i e_j / sqrt(sum_c (r e_i e_j)^2) of every pair i < j and each column of y; (freq, genes, genes).

    r is what conditions, e_i, e_j and their squares leave of y.
    """
    T = np.full((y.shape[1], E.shape[1], E.shape[1]), np.nan)
    for i, j in itertools.combinations(range(E.shape[1]), 2):
        r = left_by(np.hstack([conditions, E[:, [i, j]], E[:, [i, j]] ** 2]), y)
        products = r * E[:, [i]] * E[:, [j]]
        T[:, i, j] = products.sum(axis=0) / np.sqrt((products**2).sum(axis=0))
    return T


def left_by(columns, values):
    """Residuals of ordinary least squares on a constant and columns, by the normal equations."""
    A = np.column_stack([np.ones(len(columns)), columns])
    return values - A @ np.linalg.lstsq(A, values, rcond=1e-9)[0]


def benjamini_hochberg(p):
    """Adjusted p of each p: the least, over all that are as large or larger, of n p / rank."""
    order = np.argsort(p)
    adjusted = np.empty(len(p))
    least = 1.0
    for rank in range(len(p), 0, -1):
        least = min(least, len(p) * p[order[rank - 1]] / rank)
        adjusted[order[rank - 1]] = least
    return adjusted


def hc3(X, y):
    """Least squares, cell by cell: each residual as the model fitted without its own cell gives it, up to 1 - h."""
    bread = np.linalg.inv(X.T @ X)
    weights = bread @ X.T @ y
    meat = np.zeros_like(bread)
    for row, value in zip(X, y, strict=True):
        left_out = (value - row @ weights) / (1 - row @ bread @ row)
        meat += left_out**2 * np.outer(row, row)
    return weights, np.sqrt(np.diag(bread @ meat @ bread))


def product_correlations(X, y):
    """Largest |partial correlation| of x_i x_j with each target, given x_i, x_j and a constant; by least squares.

    Pairs whose product or target keeps less than 5% of its variance, or whose genes share more than 95%, are left out.
    """
    n_genes = X.shape[1]
    found = np.zeros((n_genes, y.shape[1]))
    for i, j in itertools.permutations(range(n_genes), 2):
        if X[:, i].std() == 0 or X[:, j].std() == 0 or np.corrcoef(X[:, i], X[:, j])[0, 1] ** 2 >= 0.95:
            continue
        given = np.column_stack([np.ones(len(X)), X[:, i], X[:, j]])
        asked = np.column_stack([X[:, i] * X[:, j], y])
        left = asked - given @ np.linalg.lstsq(given, asked, rcond=None)[0]
        kept = left.var(axis=0) > 0.05 * asked.var(axis=0)
        for f in range(y.shape[1]):
            if kept[0] and kept[1 + f]:
                found[i, f] = max(found[i, f], abs(np.corrcoef(left[:, 0], left[:, 1 + f])[0, 1]))
    return found


def multiscale_laplacian_scores(A, X, times):
    """f' D (I - P) f / f' D f, P = expm(-t (I - D^-1 A)) dense, f centred with weights D; (n_times, n_genes)."""
    d = A.sum(axis=1)
    inverse = np.array([1 / degree if degree > 0 else 0 for degree in d])
    D, walk = np.diag(d), inverse[:, None] * A
    scores = np.zeros((len(times), X.shape[1]))
    for place, t in enumerate(times):
        P = expm(-t * (np.eye(len(A)) - walk))
        for gene in range(X.shape[1]):
            f = X[:, gene].astype(float)
            f = f - (f @ D @ np.ones(len(A))) / d.sum()
            scores[place, gene] = (f @ D @ (np.eye(len(A)) - P) @ f) / (f @ D @ f) if f @ D @ f > 0 else 1
    return scores
