"""scikit-learn's interface: the secure estimator, and the plaintext one with the same conventions."""

from secure_kmeans.estimators.plaintext import PlaintextKMeans
from secure_kmeans.estimators.secure import SecureKMeans

__all__ = ["PlaintextKMeans", "SecureKMeans"]
