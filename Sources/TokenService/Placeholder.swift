import CASACore
