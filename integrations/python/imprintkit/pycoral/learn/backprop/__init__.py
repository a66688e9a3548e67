"""Training with stochastic gradient descent."""
